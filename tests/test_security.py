"""SECURITY.md lists every reader of the package that could run something, and where it is called."""

import ast
import re
from pathlib import Path

from tests.house import PACKAGE, ROOT

DOCUMENT = ROOT / "SECURITY.md"
# The last parts of the names of functions that read, import or run what a file says.
READERS = {
    "torch.load",
    "torch.export.load",
    "pickle.load",
    "pickle.loads",
    "pickle.Unpickler",
    "np.load",
    "yaml.load",
    "yaml.safe_load",
    "ElementTree.fromstring",
    "ElementTree.parse",
    "csv.reader",
    "Config.fromfile",
    "Config.fromstring",
    "eval",
    "exec",
    "compile",
    "__import__",
    "import_module",
    "importlib.import_module",
    "get_object_from_string",
    "tarfile.open",
    "zipfile.ZipFile",
    "json.load",
    "json.loads",
    "read_json",
    "safe_open",
    "load_file",
    "urlopen",
    "urllib.request.urlopen",
    "Image.open",
    "imread",
    "mmcv.imread",
    "cv2.imread",
    "fileio.get",
    "fileio.load",
    "mmengine.load",
    "from_pretrained",
    "hf_hub_download",
    "literal_eval",
    "ast.literal_eval",
    "runpy.run_path",
    "shelve.open",
    "joblib.load",
}


def called(path: Path) -> set[str]:
    """Return the readers that a file calls or derives from."""
    tree = ast.parse(path.read_text())
    nodes = [x.func for x in ast.walk(tree) if isinstance(x, ast.Call)]
    nodes += [base for x in ast.walk(tree) if isinstance(x, ast.ClassDef) for base in x.bases]
    found = {ast.unparse(x) for x in nodes if isinstance(x, (ast.Name, ast.Attribute))}
    loaded = {x for x in found if x in READERS or x.rpartition(".")[2] in ("from_pretrained", "fromfile")}
    return {x.rpartition(".")[2] if x.endswith("from_pretrained") else x for x in loaded}


def test_every_reader_in_the_package_is_in_the_inventory_with_its_file() -> None:
    rows = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]
    listed = {
        (reader, file)
        for row in rows
        for reader in re.findall(r"`([\w.]+)`", row.split("|")[1])
        for file in re.findall(r"`(mmvisionllama/[\w/]+\.py)`", row.split("|")[2])
    }
    there = {(reader, str(x.relative_to(ROOT))) for x in PACKAGE.rglob("*.py") for reader in called(x)}
    assert sorted(there - listed) == []
    assert sorted(listed - there) == []


def test_the_promise_is_linked_from_where_users_look() -> None:
    assert "SECURITY.md" in (ROOT / "README.md").read_text()
    assert "SECURITY.md" in (ROOT / "docs" / "resume.md").read_text()
