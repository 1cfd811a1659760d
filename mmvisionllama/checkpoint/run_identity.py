"""Identity of a run: its id, the folders of its checkpoints, and which files there are its own."""

import os
import re
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from mmvisionllama.files import read_json, why_no_file, write_json

RECORD = "run.json"  # in the work directory
POINTER = "last_checkpoint"  # mmengine's name for the file of a work directory that names the newest
# A job that restarts its training by itself says which one it is; tools/_slurm_job.sh sets it.
JOB_VARIABLE = "MMVISIONLLAMA_JOB"
_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """Which run a work directory belongs to, as ``run.json`` there says.

    Attributes:
        run_id: Drawn when the run began; a resumed run keeps it.
        forked_from: ``run_id``, ``checkpoint`` and ``step`` of the other run that this one began from.
        takes_unnamed: Whether checkpoints without an id are this run's: it began before runs had ids.
        out_dir: Where its checkpoints are.
        job: The job that started it last, see ``JOB_VARIABLE``.
    """

    run_id: str
    forked_from: Mapping[str, Any] | None = None
    takes_unnamed: bool = False
    out_dir: str | None = None
    job: str | None = None

    @classmethod
    def drawn(cls, **known: Any) -> "RunRecord":
        """Begin another run; no random generator of a training is touched."""
        return cls(run_id=uuid.uuid4().hex, **known)

    def owns(self, run_id: str | None) -> bool:
        """Whether a checkpoint with this id, None for one without, is this run's."""
        return self.takes_unnamed if run_id is None else run_id == self.run_id


def read_record(work_dir: str | Path) -> RunRecord | None:
    """Return whose folder this is; None if no record says so, or a damaged one."""
    try:
        content = read_json(Path(work_dir, RECORD))
        record = RunRecord(**{field.name: content[field.name] for field in fields(RunRecord)})
    except (ValueError, TypeError, KeyError):
        return None
    texts = (record.out_dir, record.job)
    is_sound = known_id(record.run_id) is not None and isinstance(record.takes_unnamed, bool)
    return record if is_sound and all(x is None or isinstance(x, str) for x in texts) else None


def write_record(work_dir: str | Path, record: RunRecord) -> None:
    """Say whose folder this is, unless it says so already."""
    if read_record(work_dir) != record:
        write_json(Path(work_dir, RECORD), asdict(record))


def known_id(value: Any) -> str | None:
    """Return an id as a checkpoint or a manifest holds it, None for anything else."""
    return value if isinstance(value, str) and _ID.fullmatch(value) else None


def present_job() -> str | None:
    """Return the job that this process is part of, None outside of one that restarts by itself."""
    return os.environ.get(JOB_VARIABLE) or None


def is_of_job(work_dir: str | Path, job: str) -> bool:
    """Whether this job has started the training of a work directory, as the last one that did."""
    record = read_record(work_dir)
    return record is not None and record.job == job


def checkpoint_folder(work_dir: str | Path, out_dir: str | Path | None = None) -> Path:
    """Return where a CheckpointHook with this ``out_dir`` saves: in a folder named as the work directory."""
    work_dir = Path(os.path.abspath(work_dir))  # not resolved: a link to a work directory names it
    if out_dir is None or str(out_dir) == str(work_dir):
        return work_dir
    return Path(os.path.abspath(out_dir), work_dir.name)


def folders_of(work_dir: str | Path, out_dir: str | Path | None = None) -> list[Path]:
    """List the folders in which the checkpoints of a run can be, the work directory first.

    The config names another by its ``out_dir``, the record and the pointer of the work directory remember
    one. A remembered folder that has a record or a pointer of its own is the work directory of another run,
    of which this one is a copy.
    """
    record = read_record(work_dir)
    remembered = [Path(record.out_dir)] if record is not None and record.out_dir is not None else []
    remembered += [pointed.parent] if (pointed := _pointed(work_dir)) is not None else []
    found = [Path(work_dir), *([] if out_dir is None else [checkpoint_folder(work_dir, out_dir)])]
    found += [x for x in remembered if not _belongs_to_another(x)]
    different: dict[Path, Path] = {}
    for folder in found:
        different.setdefault(folder.resolve(), folder)
    return list(different.values())


def _belongs_to_another(folder: Path) -> bool:
    """Whether a remembered folder is a work directory itself, or no folder that could be looked into."""
    try:
        return not folder.is_dir() or (folder / POINTER).exists() or (folder / RECORD).exists()
    except (OSError, ValueError):  # what was remembered is no path
        return True


def _pointed(work_dir: str | Path) -> Path | None:
    pointer = Path(work_dir, POINTER)
    try:
        return None if why_no_file(pointer) else Path(pointer.read_text().strip())
    except (OSError, ValueError):
        return None
