"""Errors that a user can mend, early ends of a training, and the exit statuses of all commands."""

from collections.abc import Iterable
from enum import IntEnum
from pathlib import Path
from typing import Any


class ExitStatus(IntEnum):
    """How a command ends; the shell scripts and docs/resume.md have their numbers from here.

    Attributes:
        meaning: For the documents.
    """

    meaning: str

    def __new__(cls, number: int, meaning: str) -> "ExitStatus":
        status = int.__new__(cls, number)
        status._value_, status.meaning = number, meaning
        return status

    __str__ = int.__repr__  # of every Python; 3.10 would say its name

    FINISHED = 0, "the training is finished"
    FAILED = 1, "the run failed"
    USER_ERROR = 2, "something that you can mend, e.g. the config; one line says what"
    # The numbers are those of sysexits.h: EX_DATAERR, EX_UNAVAILABLE, EX_TEMPFAIL.
    DIVERGED = 65, "NaN or infinity that going back did not help against: it would end there again"
    STALLED = 69, "nothing moved for too long: the same command with `--resume` goes on"
    STOPPED = 75, "stopped by a signal, everything is saved: the same command with `--resume` goes on"


class UserError(ValueError):
    """Something that a user can mend: a command prints it in one line, without a traceback."""

    status = ExitStatus.USER_ERROR


class ArgumentError(UserError):
    """A value that an argument of a constructor or function does not take."""


class ConfigError(UserError):
    """A configuration that cannot be used as it stands.

    Attributes:
        problems: Every wrong key of the config, empty when the file itself could not be read.
    """

    def __init__(self, message: str, problems: Iterable[Any] = ()) -> None:
        super().__init__(message)
        self.problems = list(problems)


class CheckpointError(UserError):
    """A checkpoint that cannot be used: missing, damaged, unsafe or of another architecture."""


class DataError(UserError):
    """A file of a data set that cannot be used: damaged, or it would run code."""


class LaunchError(UserError):
    """Processes that cannot be joined, or options that cannot be followed."""


class EvaluationError(UserError):
    """Images, labels or features that cannot be evaluated as asked."""


class SamplingError(UserError):
    """A sample that cannot be drawn: a number on its way is not finite, or its tolerances are too fine."""


class InputError(UserError):
    """An image, array or option that a trained model cannot take."""


class ExportError(UserError):
    """A model, size or file name that cannot be exported."""


class InexactExport(ExportError):
    """An exported file that computes something else than its model."""

    status = ExitStatus.FAILED


class StudyError(UserError):
    """Trainings of a study that failed, or a folder that holds other ones."""

    status = ExitStatus.FAILED


class ReproductionError(UserError):
    """A table, row or folder of a reproduction that does not exist or does not fit."""


class LinkError(ReproductionError):
    """A link of a chain that failed; the same command goes on from there when its cause is mended."""

    status = ExitStatus.FAILED


class TrainingEnded(Exception):
    """A training that ends early by intention; its log says why."""


class Stopped(TrainingEnded):
    """A training that ended on a signal, before its end."""

    status = ExitStatus.STOPPED


class Diverged(TrainingEnded):
    """NaN or infinity for the second time at the same place, or with no checkpoint to go back to."""

    status = ExitStatus.DIVERGED


class GoBack(TrainingEnded):
    """A training is to go on from an earlier checkpoint.

    Attributes:
        checkpoint: Resume from this one; the guard of that run passes over the steps that were bad.
    """

    def __init__(self, message: str, checkpoint: Path) -> None:
        super().__init__(message)
        self.checkpoint = checkpoint
