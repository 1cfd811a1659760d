"""Names of classes in pictures and tables."""

from collections.abc import Sequence


def class_name(classes: Sequence[str] | None, label: int) -> str:
    """Give the first name of a class, else its number."""
    known = classes is not None and label < len(classes)
    return str(classes[label]).split(",")[0] if known else str(label)
