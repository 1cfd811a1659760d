"""A folder that samples are drawn into, by several processes, and after a kill again."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmvisionllama.errors import LaunchError
from mmvisionllama.evaluation import GRID, SampleInfo, png_name, write_info
from mmvisionllama.inference.output_folder import claim, require_own

IDENTITY = "sampling.json"


class SampleFolder:
    """The samples of one run, ``000012_class7.png`` and so on; what is there is whole.

    Args:
        labels: Class of every sample, in order.
    """

    def __init__(self, path: Path, labels: Sequence[int]) -> None:
        self.path = path
        self.names = [png_name(index, label) for index, label in enumerate(labels)]

    def claim(self, identity: Mapping[str, Any], info: SampleInfo) -> None:
        """Make the folder, or make sure that what it holds are samples of the same run.

        Args:
            identity: What decides the samples, for JSON; their number is no part of it.

        Raises:
            LaunchError: if it holds anything else; nothing is changed then.
        """
        there = require_own(self.path, IDENTITY, identity, "samples")
        surplus = {name for name in there if name.endswith(".png")} - {GRID, *self.names}
        if surplus:
            raise LaunchError(
                f"--out {self.path} holds {len(surplus):,} samples more than the {len(self.names):,} of "
                f"--num, e.g. {min(surplus)}. Nothing was changed; ask for as many, or choose another folder"
            )
        claim(self.path, IDENTITY, identity)
        write_info(self.path, info)

    def missing(self) -> list[int]:
        """Return the indices of the samples that are not there yet."""
        there = {path.name for path in self.path.iterdir()}
        return [index for index, name in enumerate(self.names) if name not in there]
