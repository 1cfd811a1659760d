"""Pages: what they show is text, and they need nothing from elsewhere."""

import base64
import re
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from mmvisionllama.errors import UserError
from mmvisionllama.run_reports.pages import (
    Code,
    Fold,
    Gallery,
    Items,
    Page,
    Picture,
    Section,
    Strong,
    Table,
    Text,
    write_pages,
)

BAD = '<script>alert("1")</script>&`|*'


@pytest.fixture(scope="module")
def page() -> Page:
    picture = Picture.drawn("one.png", Figure(figsize=(1, 1)), BAD)
    table = Table([BAD, BAD], [[BAD, Strong(BAD)]], numbers=True)
    blocks = [
        Text(BAD),
        Code(BAD),
        Items([BAD]),
        table,
        picture,
        Gallery([picture]),
        Fold(BAD, f"{BAD}\n```"),
    ]
    return Page(BAD, BAD, [Section(BAD, blocks)])


def test_whatever_a_run_is_called_is_shown_as_text(page: Page) -> None:
    html = page.as_html()
    assert "<script" not in html
    assert html.count("&lt;script&gt;") == 18
    assert '<td class="strong">&lt;script&gt;' in html


def test_a_page_holds_its_pictures_and_asks_for_nothing(page: Page) -> None:
    html = page.as_html()
    addresses = re.findall(r'(?:src|href)="(.*?)"', html)
    assert {x.partition(":")[0].partition("#")[0] for x in addresses} == {"data", ""}
    (picture, *_) = [x for x in addresses if x.startswith("data:image/png;base64,")]
    assert base64.b64decode(picture.partition(",")[2]) == page.pictures()[0].content
    assert "default-src 'none'" in html


def test_markdown_shows_the_same_text(page: Page) -> None:
    lines = page.as_markdown().splitlines()
    plain = re.sub(r"([`*<>|])", r"\\\1", BAD)
    assert lines[0] == f"# {plain}"
    assert f"| {plain} | **{plain}** |" in lines
    assert lines[-1] == "````"  # longer than any fence inside


def test_a_folder_that_cannot_be_written_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot be written: .*; choose another folder by --out DIR"):
        write_pages(tmp_path / "file" / "below", {"a.html": "x"})
