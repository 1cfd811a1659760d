"""Files that an analysis writes: a picture, its numbers, features; never over what is there unasked."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from mmvisionllama.errors import LaunchError
from mmvisionllama.files import write_json
from mmvisionllama.reports.figures import write_figure


@dataclass(frozen=True)
class Outputs:
    """Where the results of an analysis go.

    Args:
        picture: A ``.png`` file.
        numbers: A ``.json`` file; None: none.
        features: A ``.npz`` file; None: none.
        overwrite: Replace what is there.
    Raises: LaunchError: for a wrong suffix, two files of one name, a folder, or a file that is there.
    """

    picture: Path
    numbers: Path | None = None
    features: Path | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        for option, path, suffix in (
            ("--out", self.picture, ".png"),
            ("--json", self.numbers, ".json"),
            ("--save-features", self.features, ".npz"),
        ):
            if path is None:
                continue
            if path.suffix != suffix or path.is_dir():
                raise LaunchError(f"{option} {path}: give the name of a {suffix} file")
            if path.exists() and not self.overwrite:
                raise LaunchError(
                    f"{option} {path} is there already: choose another name, or add --overwrite"
                )
            near = next(x for x in path.absolute().parents if x.exists())
            if not near.is_dir():
                raise LaunchError(f"{option} {path}: {near} is a file, no folder")

    def write(self, figure: Figure, numbers: Mapping[str, Any]) -> str:
        """Write picture and numbers, and return which files these are."""
        write_figure(figure, self.picture)
        if self.numbers is None:
            return str(self.picture)
        write_json(self.numbers, numbers)
        return f"{self.picture}, {self.numbers}"
