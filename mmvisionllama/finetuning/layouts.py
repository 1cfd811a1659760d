"""The layouts of data that are known, each with its task, how a folder is recognised, and its reader."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mmvisionllama.errors import DataError
from mmvisionllama.finetuning.class_folders import has_class_folders, read_class_folders
from mmvisionllama.finetuning.found_data import FoundData, Task
from mmvisionllama.finetuning.label_tables import has_label_table, read_label_tables
from mmvisionllama.suggestions import nearest, shortened


@dataclass(frozen=True)
class Layout:
    """A way to lay data out.

    Attributes:
        name: For messages.
        is_here: Whether a folder or file looks like it; reads little.
        read: Reads all of it.
    """

    task: Task
    name: str
    is_here: Callable[[Path], bool]
    read: Callable[[Path], FoundData]


# The first that fits is taken.
LAYOUTS = (
    Layout(
        "cls", "a folder for each class, in train/ and val/ or not", has_class_folders, read_class_folders
    ),
    Layout("cls", "a CSV table of file and label", has_label_table, read_label_tables),
)


def find_data(root: Path, task: Task) -> FoundData:
    """Read the data of a task in the layout that they have.

    Raises: DataError: if there is nothing, or no layout of the task fits, naming those that would.
    """
    root = root.expanduser().absolute()
    if not root.exists():
        there = [x.name for x in root.parent.iterdir()] if root.parent.is_dir() else []
        near = nearest(root.name, there)
        raise DataError(f"{root} does not exist" + (f"; did you mean {root.with_name(near)}?" if near else ""))
    known = [layout for layout in LAYOUTS if layout.task == task]
    for layout in known:
        if layout.is_here(root):
            return layout.read(root)
    held = shortened(sorted(x.name for x in root.iterdir())) if root.is_dir() else "a file"
    wanted = "".join(f"\n  {layout.name}" for layout in known)
    raise DataError(f"{root} has none of the layouts of --task {task}; it holds {held or 'nothing'}. Known are{wanted}")
