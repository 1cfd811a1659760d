"""A config in use: each change is checked like the files, and recorded with the option that made it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from mmvisionllama.config.checker import check_config
from mmvisionllama.config.origins import FileOrigins, leaves, overlap, write_values
from mmvisionllama.config.problems import ConfigProblem, raise_problems
from mmvisionllama.config.sections import ROOT
from mmvisionllama.registry import SCOPE
from mmvisionllama.suggestions import nearest


class RunConfig:
    """A config with the origin of what was changed after its files were read.

    Attributes:
        cfg: The config itself.
        changes: Key path -> what set the values there, the latest last.
        remarks: Key path -> what to add to the line of the file.
    """

    def __init__(self, cfg: Config) -> None:
        self.cfg = cfg
        self.changes: dict[str, str] = {}
        self.remarks: dict[str, str] = {}

    def set(self, path: str, value: Any, origin: str) -> None:
        """Put ``value`` where ``path`` says, instead of what is there.

        Raises: ConfigError: for a key or value that is wrong there.
        """
        problems = self.assign(
            path, {"_delete_": True, **value} if isinstance(value, dict) else value, origin
        )
        raise_problems(problems or check_config(self.cfg, [path.partition(".")[0]]))

    def assign(self, path: str, value: Any, origin: str) -> list[ConfigProblem]:
        """Put ``value`` where ``path`` says, a dict into a dict that is there; return why that cannot be.

        What the path says is checked, the value is not. Lists of exceptions are added to.
        """
        name, _, rest = path.partition(".")
        if name not in ROOT:
            text = f"there is no setting {name!r}"
            return [ConfigProblem(path, text, nearest(name, ROOT), tuple(sorted(ROOT)))]
        if path in ("unchecked", "accepted_differences"):
            value = [
                *self.cfg.get(path, ()),
                *(value if isinstance(value, (list, tuple)) else [value]),
            ]
        try:
            self.cfg[name] = _assigned(self.cfg.get(name), rest, value)
        except LookupError as error:
            return [ConfigProblem(path, f"cannot be set: {error.args[0]}")]
        self._record(path, origin)
        return []

    @contextmanager
    def changed_by(self, origin: str) -> Iterator[Config]:
        """Record every value that the block changes in the config that it gets.

        Raises: ConfigError: for a key or value that is wrong where the block put it.
        """
        before = dict(leaves(self.cfg))
        yield self.cfg
        changed = [keys for keys, value in leaves(self.cfg) if keys not in before or before[keys] != value]
        for keys in changed:
            self._record(".".join(keys), origin)
        raise_problems(check_config(self.cfg, dict.fromkeys(keys[0] for keys in changed)))

    def origins(self) -> dict[str, str]:
        """Return key path -> origin for every plain value; lists of plain values count as one value.

        An origin is ``file:line`` of the text that says the value, or the option that changed it.
        """
        files = FileOrigins(Path(self.cfg.filename))
        return {".".join(keys): self._origin(keys, value, files) for keys, value in leaves(self.cfg)}

    def write_origins(self, folder: str | Path) -> Path:
        """Write every value with its origin into ``<config>_origins.txt`` in ``folder``."""
        return write_values(self.cfg, self.origins(), folder)

    def _record(self, path: str, origin: str) -> None:
        self.changes.pop(path, None)
        self.changes[path] = origin

    def _origin(self, keys: Sequence[str], value: Any, files: FileOrigins) -> str:
        path = ".".join(keys)
        for changed, origin in reversed(self.changes.items()):
            if overlap(path, changed):
                return origin
        if path in self.remarks:
            return files.of(keys) + self.remarks[path]
        if keys[-1] == "_scope_" and value != SCOPE:  # our own bases are never marked
            return "the package of the base"
        return files.of(keys, value)


def _assigned(place: Any, path: str, value: Any) -> Any:
    """Return what stands at a place when ``value`` is put where ``path`` says; nothing is changed in place.

    Raises: LookupError: if the path leads nowhere.
    """
    if not path:
        return _merged(place, value)
    key, _, rest = path.partition(".")
    if path == "_delete_":  # whatever is there, a dict takes its place
        return ConfigDict() if value else place
    if isinstance(place, (list, tuple)):
        if not key.isdigit():
            raise LookupError(f"there is a list, which takes an index and not {key!r}")
        if int(key) >= len(place):
            raise LookupError(f"Index {key} exceeds the {len(place)} items of the list")
        return [_assigned(x, rest, value) if i == int(key) else x for i, x in enumerate(place)]
    if not isinstance(place, (dict, type(None))):
        raise LookupError(f"there is {place!r}, which holds no {key!r}")
    place = place or {}
    # Parts of parameter names are keys with dots inside.
    key = max((x for x in place if f"{path}.".startswith(f"{x}.")), key=len, default=key)
    return ConfigDict({**place, key: _assigned(place.get(key), path[len(key) + 1 :], value)})


def _merged(old: Any, new: Any) -> Any:
    """Return a dict merged into another, with mmengine's mark ``_delete_``; else the new value."""
    if not isinstance(new, dict):
        return new
    kept = {} if new.get("_delete_") or not isinstance(old, dict) else old
    new = {key: value for key, value in new.items() if key != "_delete_"}
    return ConfigDict({**kept, **{key: _merged(kept.get(key), value) for key, value in new.items()}})
