"""Pages of the site that are made at its build, and links that work in the repository as in the site.

Made are: the start page from README.md, pages of SECURITY.md and CHANGELOG.md, a page for each room of the
package, one for each notebook with its outputs, and one for each file of the repository that a page links to.
"""

import posixpath
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).parent))
from api_pages import api_pages
from notebook_pages import notebook_pages

ROOT = Path(__file__).resolve().parents[2]
# Pages of the site that stand elsewhere in the repository.
_OUTSIDE = {"README.md": "index.md", "SECURITY.md": "security.md", "CHANGELOG.md": "changelog.md"}
_LANGUAGES = {".py": "python", ".sh": "bash", ".json": "json", ".yml": "yaml", ".cff": "yaml"}
_LINK = re.compile(r"(\]\()([^)\s#]+)(#[\w-]+)?(\))")
_CODE = re.compile(r"(^```.*?^```$|`[^`\n]+`)", re.MULTILINE | re.DOTALL)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages of the rooms into the navigation."""
    (api,) = (x["API"] for x in config.nav if "API" in x)
    api += [path for path in api_pages() if path not in api]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made."""
    made = {page: (ROOT / source).read_text() for source, page in _OUTSIDE.items()}
    made |= api_pages() | notebook_pages(ROOT / "docs" / "notebooks")
    written = {x.src_uri: (ROOT / "docs" / x.src_uri).read_text() for x in files.documentation_pages()}
    for page, text in {**written, **made}.items():
        if isinstance(text, str):
            made |= {_page_of(file): _listing(file) for file in _linked_files(_source_of(page), text)}
    for path, content in made.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links into the repository into links to the pages of the site."""
    here = posixpath.dirname(page.file.src_uri)

    def turned(link: re.Match[str]) -> str:
        target = _target(_source_of(page.file.src_uri), link[2])
        if target is None:
            return link[0]
        return f"{link[1]}{posixpath.relpath(_site_path(target), here or '.')}{link[3] or ''}{link[4]}"

    parts = _CODE.split(markdown)
    return "".join(x if i % 2 else _LINK.sub(turned, x) for i, x in enumerate(parts))


def _source_of(page: str) -> str:
    """Return the path in the repository of a page of the site."""
    outside = {made: source for source, made in _OUTSIDE.items()}
    return outside.get(page, f"docs/{page}")


def _target(source: str, link: str) -> str | None:
    """Return the path in the repository that a link means; None for an address."""
    if "://" in link or link.startswith(("mailto:", "#", "/")):
        return None
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), link))


def _site_path(target: str) -> str:
    """Return the path in the site of a file of the repository."""
    if target in _OUTSIDE:
        return _OUTSIDE[target]
    if not target.startswith("docs/"):
        return _page_of(target)
    path = target.removeprefix("docs/")
    return f"{path.removesuffix('.ipynb')}.md" if path.endswith(".ipynb") else path


def _linked_files(source: str, text: str) -> Iterator[str]:
    """Yield files of the repository outside the documents that a page links to."""
    for link in _LINK.finditer(_CODE.sub("", text)):
        target = _target(source, link[2])
        if target and _site_path(target).startswith("files/") and (ROOT / target).exists():
            yield target


def _page_of(file: str) -> str:
    return f"files/{file}.md"


def _listing(path: str) -> str:
    """Return the page of a file, or of a folder with the names in it."""
    place = ROOT / path
    if place.is_dir():
        names = sorted(x.name for x in place.iterdir() if not x.name.startswith(("_", ".")))
        return f"# {path}/\n\n" + "\n".join(f"- `{name}`" for name in names) + "\n"
    fence = "~~~~"
    return f"# {path}\n\n{fence}{_LANGUAGES.get(place.suffix, 'text')}\n{place.read_text()}\n{fence}\n"
