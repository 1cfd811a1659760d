"""Pages of sections with tables and pictures: one self-contained HTML file, or Markdown beside pictures."""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import jinja2
from matplotlib.figure import Figure

from mmvisionllama import __version__
from mmvisionllama.errors import UserError
from mmvisionllama.files import atomic_path
from mmvisionllama.reports.figures import png_of

_TEMPLATE = "page.html"
_GENERATOR = '<meta name="generator" content="mmvisionllama '
_CHOOSE = "choose another folder by --out DIR"
_IN_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|])")


@dataclass(frozen=True)
class Strong:
    """A cell of a table that stands out."""

    text: str

    def __str__(self) -> str:
        return self.text


Cell = str | Strong


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    kind: ClassVar[str] = "text"
    text: str


@dataclass(frozen=True)
class Code:
    """A command to type."""

    kind: ClassVar[str] = "code"
    text: str


@dataclass(frozen=True)
class Items:
    """A list of short lines."""

    kind: ClassVar[str] = "items"
    lines: Sequence[str]


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        head: Of every column; no heading at all where all are empty.
        numbers: Whether the columns after the first hold numbers, which stand to the right.
    """

    kind: ClassVar[str] = "table"
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    numbers: bool = False


@dataclass(frozen=True)
class Picture:
    """A picture over the width of the page.

    Attributes:
        name: Of its file beside a page in Markdown.
        content: Of a PNG or JPEG file.
        told: What it shows, also for those who do not see it.
    """

    kind: ClassVar[str] = "picture"
    name: str
    content: bytes
    told: str

    @classmethod
    def drawn(cls, name: str, figure: Figure, told: str) -> "Picture":
        """Draw a figure."""
        return cls(name, png_of(figure), told)

    @property
    def address(self) -> str:
        """The picture itself as an address."""
        return data_address(self.content)


@dataclass(frozen=True)
class Gallery:
    """Small pictures in rows, each with a line below; ``wide``: two in a row, on a phone one."""

    kind: ClassVar[str] = "gallery"
    pictures: Sequence[Picture]
    wide: bool = False


@dataclass(frozen=True)
class Fold:
    """A long text that opens on a click."""

    kind: ClassVar[str] = "fold"
    title: str
    text: str


Block = Text | Code | Items | Table | Picture | Gallery | Fold


@dataclass(frozen=True)
class Section:
    """A part of a page."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Page:
    """A page.

    Attributes:
        title: Its heading.
        lead: The sentence below.
    """

    title: str
    lead: str
    sections: Sequence[Section]

    def pictures(self) -> list[Picture]:
        """Return all pictures of the page."""
        blocks = [block for section in self.sections for block in section.blocks]
        small = [x for block in blocks if isinstance(block, Gallery) for x in block.pictures]
        return [block for block in blocks if isinstance(block, Picture)] + small

    def as_html(self) -> str:
        """Return it as one HTML file that needs nothing else and runs nothing."""
        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        return environment.get_template(_TEMPLATE).render(page=self, version=__version__)

    def as_markdown(self) -> str:
        """Return it as Markdown; pictures are files of their names beside it."""
        parts = [f"# {_plain(self.title)}", _plain(self.lead)]
        for section in self.sections:
            parts.append(f"## {_plain(section.title)}")
            parts += [_markdown(block) for block in section.blocks]
        return "\n\n".join(parts) + "\n"


def data_address(content: bytes) -> str:
    """Return the content of a PNG or JPEG file as a ``data:`` address."""
    kind = "png" if content.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def require_free(out: Path, names: Sequence[str]) -> None:
    """Require that files which a command is about to write are not there, but for those of an earlier call.

    Args:
        names: Of the files, the HTML page first, which says whose they are.
    Raises: UserError: if they are somebody else's.
    """
    out = Path(out).expanduser()
    there = [name for name in names if (out / name).exists()]
    if there and not _is_ours(out / names[0]):
        raise UserError(f"{out / there[0]} is there already, and not by this command: {_CHOOSE}")


def write_pages(out: Path, files: Mapping[str, str | bytes]) -> list[Path]:
    """Write files by name into a folder, each whole or not at all; return their paths.

    Raises: UserError: if nothing can be written there.
    """
    out = Path(out).expanduser()
    try:
        for name, content in files.items():
            with atomic_path(out / name) as temporary:
                temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise UserError(f"{out} cannot be written: {error.strerror}; {_CHOOSE}") from error
    return [out / name for name in files]


def _is_ours(file: Path) -> bool:
    try:
        with file.open(errors="replace") as opened:
            return _GENERATOR in opened.read(2000)
    except OSError:
        return False


def _markdown(block: Block) -> str:
    match block:
        case Text():
            return _plain(block.text)
        case Code():
            return f"```shell\n{block.text}\n```"
        case Items():
            return "\n".join(f"- {_plain(x)}" for x in block.lines)
        case Table():
            rows = [[_cell(x) for x in row] for row in (block.head, *block.rows)]
            align = ["---", *(["--:" if block.numbers else "---"] * (len(block.head) - 1))]
            return "\n".join(f"| {' | '.join(row)} |" for row in (rows[0], align, *rows[1:]))
        case Picture():
            return f"![{_plain(block.told)}]({block.name})"
        case Gallery():
            return "\n".join(f"![{_plain(x.told)}]({x.name})" for x in block.pictures)
        case Fold():
            fence = "`" * max(3, 1 + max(map(len, re.findall("`+", block.text)), default=0))
            return f"**{_plain(block.title)}**\n\n{fence}text\n{block.text}\n{fence}"


def _cell(cell: Cell) -> str:
    text = _plain(str(cell)).replace("\n", " ")
    return f"**{text}**" if isinstance(cell, Strong) and text else text


def _plain(text: str) -> str:
    """Return a text that Markdown shows as it is."""
    return _IN_MARKDOWN.sub(r"\\\1", text)
