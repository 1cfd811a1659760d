"""The layouts of data that are known, each with its task, how a folder is recognised, and its reader."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mmvisionllama.errors import DataError
from mmvisionllama.finetuning.any_images import has_any_image, read_any_images
from mmvisionllama.finetuning.cityscapes_tree import has_cityscapes_tree, read_cityscapes_tree
from mmvisionllama.finetuning.class_folders import has_class_folders, read_class_folders
from mmvisionllama.finetuning.coco_files import has_coco_files, read_coco_files
from mmvisionllama.finetuning.found_data import FoundData, Task
from mmvisionllama.finetuning.label_tables import has_label_table, read_label_tables
from mmvisionllama.finetuning.labelme_files import has_labelme_files, read_labelme_files
from mmvisionllama.finetuning.mask_pairs import has_mask_pairs, read_mask_pairs
from mmvisionllama.finetuning.voc_files import has_voc_files, read_voc_files
from mmvisionllama.finetuning.yolo_files import has_yolo_files, read_yolo_files
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
    Layout("cls", "a CSV table of file and label", has_label_table, read_label_tables),
    Layout(
        "cls", "a folder for each class, in train/ and val/ or not", has_class_folders, read_class_folders
    ),
    Layout("seg", "Cityscapes' tree: leftImg8bit/, gtFine/", has_cityscapes_tree, read_cityscapes_tree),
    Layout("seg", "images/ and masks/ of equal names, in parts or not", has_mask_pairs, read_mask_pairs),
    Layout("det", "COCO JSON", has_coco_files, read_coco_files),
    Layout(
        "det", "Pascal VOC: an XML file beside each image, or Annotations/", has_voc_files, read_voc_files
    ),
    Layout("det", "YOLO: images/, labels/ of txt files, data.yaml", has_yolo_files, read_yolo_files),
    Layout("det", "LabelMe: a JSON file beside each image", has_labelme_files, read_labelme_files),
    Layout("pretrain", "any folder of images", has_any_image, read_any_images),
)


def find_data(root: Path, task: Task) -> FoundData:
    """Read the data of a task in the layout that they have.

    Raises: DataError: if there is nothing, or no layout of the task fits, naming those that would.
    """
    root = root.expanduser().absolute()
    if not root.exists():
        there = [x.name for x in root.parent.iterdir()] if root.parent.is_dir() else []
        near = nearest(root.name, there)
        raise DataError(
            f"{root} does not exist" + (f"; did you mean {root.with_name(near)}?" if near else "")
        )
    known = [layout for layout in LAYOUTS if layout.task == task]
    for layout in known:
        if layout.is_here(root):
            return layout.read(root)
    held = shortened(sorted(x.name for x in root.iterdir())) if root.is_dir() else "a file"
    wanted = "".join(f"\n  {layout.name}" for layout in known)
    raise DataError(
        f"{root} has none of the layouts of --task {task}; it holds {held or 'nothing'}. Known are{wanted}"
    )
