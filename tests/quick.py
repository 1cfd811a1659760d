"""Trainings in tests without the seconds that the looks of files take, for tests that are not about them."""

import io

import pytest
from matplotlib.figure import Figure
from PIL import Image
from yapf.yapflib import yapf_api

from mmvisionllama.reports import figures

# Where figures and the text of configs are looked at, or compared with those of processes that are no forks.
_ABOUT_LOOKS = (
    *("tests/analysis/", "tests/reports/", "tests/run_reports/", "tests/test_compat.py"),
    *("tests/cli/test_reproduce.py", "tests/cli/test_screen_of_runs.py"),
)


def is_about_looks(nodeid: str) -> bool:
    """Tell whether a test, a file or a folder looks at how figures are drawn or configs are formatted."""
    return nodeid.startswith(_ABOUT_LOOKS)


def write_plainly(patch: pytest.MonkeyPatch) -> None:
    """Let configs be written in lines of any length, and figures as blank pictures of their shape."""

    def blank_png_of(figure: Figure) -> bytes:
        png = io.BytesIO()
        width, height = (round(inches * figure.dpi) for inches in figure.get_size_inches())
        Image.new("L", (width, height), 255).save(png, "PNG")
        return png.getvalue()

    def unformatted(text: str, **_: object) -> tuple[str, bool]:
        return text, False

    patch.setattr(figures, "png_of", blank_png_of)
    patch.setattr(yapf_api, "FormatCode", unformatted)
