"""Trainings in tests without the seconds that the looks of files take, for tests that are not about them."""

from collections.abc import Iterator

import pytest
from matplotlib.figure import Figure
from yapf.yapflib import yapf_api

from mmvisionllama.reports import figures

_DPI = 40  # a picture of two images is 58 pixels high


def write_plainly(patch: pytest.MonkeyPatch) -> None:
    """Let configs be written in lines of any length, and figures be drawn small, their parts unarranged.

    How configs and figures look is tested in tests/test_compat.py and tests/reports.
    """
    png_of = figures.png_of

    def plain_png_of(figure: Figure) -> bytes:
        figure.set_layout_engine("none")
        figure.set_dpi(min(figure.dpi, _DPI))
        return png_of(figure)

    def unformatted(text: str, **_: object) -> tuple[str, bool]:
        return text, False

    patch.setattr(figures, "png_of", plain_png_of)
    patch.setattr(yapf_api, "FormatCode", unformatted)


@pytest.fixture(scope="module", autouse=True)
def _written_plainly() -> Iterator[None]:
    """Write plainly in all tests of the files, or the folder by its conftest.py, that import this."""
    with pytest.MonkeyPatch.context() as patch:
        write_plainly(patch)
        yield
