"""Run notebooks anew and keep their outputs: PYTHONPATH=. python docs/notebooks/execute.py [NOTEBOOK ...]"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat

from tests.docs.documents import NOTEBOOKS, executed, source_hash

for path in [Path(x).resolve() for x in sys.argv[1:]] or NOTEBOOKS:
    with TemporaryDirectory() as folder:
        content = executed(path, Path(folder))
    content.metadata["executed"] = source_hash(content)
    nbformat.write(content, path)
    print(path)
