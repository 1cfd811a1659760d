"""A page for each notebook: its text, code, and the outputs that it was saved with."""

import base64
from pathlib import Path

import nbformat
from nbformat import NotebookNode


def notebook_pages(folder: Path) -> dict[str, str | bytes]:
    """Return path and content of every page and of its pictures."""
    pages: dict[str, str | bytes] = {}
    for file in sorted(folder.glob("*.ipynb")):
        pictures: dict[str, bytes] = {}
        cells = nbformat.read(file, as_version=4).cells
        text = "\n\n".join(_markdown(cell, file.stem, pictures) for cell in cells)
        pages[f"{folder.name}/{file.stem}.md"] = f"{text}\n"
        pages |= {f"{folder.name}/{name}": content for name, content in pictures.items()}
    return pages


def _markdown(cell: NotebookNode, stem: str, pictures: dict[str, bytes]) -> str:
    """Return a cell as Markdown; its pictures are added to ``pictures``."""
    if cell.cell_type != "code":
        return cell.source
    parts = [_fenced("python", cell.source)]
    for output in cell.outputs:
        if output.output_type == "stream":
            parts.append(_fenced("text", output.text.rstrip()))
            continue
        if "image/png" in output.data:
            name = f"{stem}_{len(pictures)}.png"
            pictures[name] = base64.b64decode(output.data["image/png"])
            parts.append(f"![Output of the cell above]({name})")
        elif "text/plain" in output.data:
            parts.append(_fenced("text", output.data["text/plain"]))
    return "\n\n".join(parts)


def _fenced(language: str, text: str) -> str:
    return f"```{language}\n{text}\n```"
