"""Registries of this package, children of mmengine's, under the scope ``mmvisionllama``.

Beside the standard library this file imports mmengine alone: an ImportError raised inside a registry module
is swallowed by mmengine and would come back as "not in the registry".
"""

import ast
import functools
from collections import defaultdict
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from inspect import Parameter
from pathlib import Path
from typing import Any

from mmengine import registry as mmengine_registry
from mmengine.registry import Registry

from mmvisionllama.arguments import check
from mmvisionllama.errors import ArgumentError
from mmvisionllama.signatures import accepted_arguments
from mmvisionllama.suggestions import did_you_mean

SCOPE = "mmvisionllama"
_NEED_MMDET = (f"{SCOPE}.hosts.detection",)  # which is an extra


class LazyRegistry(Registry):
    """A child of one of mmengine's registries that imports only the file which registers a name.

    mmengine's own imports every file at the first name, and with them all hosts: a backbone would take
    seconds, and could not be built without them. ``import_from_location`` still imports everything.

    Args:
        kind: Name of the registry, here and in ``mmengine.registry``.
        packages: What any file of these packages registers is found.
    """

    def __init__(self, kind: str, *packages: str) -> None:
        self._kind, self._packages = kind, packages
        modules = (module for package in packages for module, _ in _sources(package))
        parent = getattr(mmengine_registry, kind)
        locations = [x for x in modules if x not in _NEED_MMDET or find_spec("mmdet")]
        super().__init__(parent.name, parent=parent, scope=SCOPE, locations=locations)

    def get(self, key: str) -> Callable | None:
        """Return what ``key`` names, with or without a scope, as any registry of mmengine does."""
        scope, name = self.split_scope_key(key)
        own = self.find(name) if scope in (None, self.scope) else None
        return own or self.parent.get(key)

    def find(self, name: str) -> Callable | None:
        """Return what a name without a scope stands for here or in mmengine's root, None if for nothing."""
        if name not in self.module_dict:
            places = (_registered(package)[self._kind].get(name) for package in self._packages)
            if module := next(filter(None, places), None):
                import_module(module)
        return self.module_dict.get(name) or self.parent.module_dict.get(name)

    def names(self) -> list[str]:
        """Return every name that is or can be found here, without importing anything."""
        files = (_registered(package)[self._kind] for package in self._packages)
        return sorted({*self.module_dict}.union(*files))


def _sources(package: str) -> list[tuple[str, Path]]:
    """Return every module of a package of ours with its file."""
    files = sorted((Path(__file__).parent / package).glob("[!_]*.py"))
    return [(f"{SCOPE}.{package}.{file.stem}", file) for file in files]


@functools.cache
def _registered(package: str) -> dict[str, dict[str, str]]:
    """Return, for each registry, which module of the package registers a name; read from the sources."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for module, file in _sources(package):
        for kind, name in _registrations(ast.parse(file.read_text(encoding="utf-8"))):
            found[kind][name] = module
    return found


def _registrations(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield (kind, name) of each ``@KIND.register_module()`` and ``KIND.register_module("name", ...)``."""
    for node in tree.body:
        for call in [*getattr(node, "decorator_list", []), getattr(node, "value", None)]:
            match call:
                case ast.Call(
                    func=ast.Attribute(ast.Name(kind), "register_module"), args=[ast.Constant(name)]
                ):
                    yield kind, name
                case ast.Call(func=ast.Attribute(ast.Name(kind), "register_module")):
                    yield kind, node.name


MODELS = LazyRegistry("MODELS", "models", "hosts", "generation", "evaluation")
DATASETS = LazyRegistry("DATASETS", "datasets")
DATA_SAMPLERS = LazyRegistry("DATA_SAMPLERS", "datasets")
TRANSFORMS = LazyRegistry("TRANSFORMS", "datasets")
HOOKS = LazyRegistry("HOOKS", "reports", "fault_tolerance", "training")
LOOPS = LazyRegistry("LOOPS", "training")
MODEL_WRAPPERS = LazyRegistry("MODEL_WRAPPERS", "training")
OPTIMIZERS = LazyRegistry("OPTIMIZERS", "training")
OPTIM_WRAPPERS = LazyRegistry("OPTIM_WRAPPERS", "training")
OPTIM_WRAPPER_CONSTRUCTORS = LazyRegistry("OPTIM_WRAPPER_CONSTRUCTORS", "training")
METRICS = LazyRegistry("METRICS", "evaluation")
RUNNERS = LazyRegistry("RUNNERS", "training")
VISUALIZERS = LazyRegistry("VISUALIZERS", "reports")
VISBACKENDS = LazyRegistry("VISBACKENDS", "reports")


def build_component(cfg: dict[str, Any], **given: Any) -> Any:
    """Build a part of a model from its config dict, whatever ``default_scope`` is.

    Args:
        cfg: ``dict(type='SwiGLU', ...)``; the type is looked up in this package, then in mmengine's root.
        given: Arguments that the caller derives (widths, heads); the config must not repeat them.

    Raises:
        ArgumentError: if the type is missing, unknown or of another kind of part, or an argument is unknown,
            given twice or wrong.
    """
    args = dict(check("a component", cfg, dict))
    name = str(args.pop("type", None)).removeprefix(f"{SCOPE}.")
    component = MODELS.find(name)
    if component is None:
        own = MODELS.names()
        hint = did_you_mean(name, [*own, *mmengine_registry.MODELS.module_dict])
        raise ArgumentError(f"unknown component type {name!r} in {cfg}.{hint} Known here: {', '.join(own)}")
    accepted = accepted_arguments(component).by_name
    free = {key: argument for key, argument in accepted.items() if key not in given}
    if unknown := set(args) - set(free):
        raise ArgumentError(f"{name} does not take {sorted(unknown)}; it takes {sorted(free)}")
    for key, value in args.items():
        check(f"{name}: {key}", value, free[key].annotation)
    if missing := [key for key, x in free.items() if key not in args and x.default is Parameter.empty]:
        raise ArgumentError(
            f"{name} needs {missing}, but this place gives {sorted(given)}: take another type"
        )
    return component(**{key: value for key, value in given.items() if key in accepted}, **args)
