"""Which keyword arguments a class or function really takes, seen through forwarded ``**kwargs``."""

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Arguments:
    """Names that a callable accepts; ``open`` when ``**kwargs`` goes where no signature tells."""

    names: frozenset[str]
    open: bool = False


@dataclass
class _KwargsUse:
    """What a constructor does with its ``**kwargs``."""

    to_parent: bool = False
    elsewhere: bool = False
    after: str | None = None  # super(<this class>, self): the search goes on behind it
    read: set[str] = field(default_factory=set)
    fixed: set[str] = field(default_factory=set)


@functools.cache
def accepted_arguments(target: Callable) -> Arguments:
    """Return the keyword arguments that ``target`` accepts, through its parents while it forwards."""
    if isinstance(target, functools.partial):
        return accepted_arguments(target.func)
    if not inspect.isclass(target):
        return _own_arguments(target)[0]
    names: set[str] = set()
    fixed: set[str] = set()
    behind: str | None = None
    for cls in inspect.getmro(target):
        if behind is not None or "__init__" not in vars(cls):
            behind = None if cls.__name__ == behind else behind
            continue
        own, kwargs_name = _own_arguments(cls.__init__)
        names |= own.names - {"self"} - fixed
        if not own.open:
            return Arguments(frozenset(names))
        use = _use_of_kwargs(cls.__init__, kwargs_name)
        names |= use.read
        fixed |= use.fixed
        if use.elsewhere:
            return Arguments(frozenset(names), open=True)
        if not use.to_parent:  # swallowed: whatever is given there has no effect
            return Arguments(frozenset(names))
        behind = use.after if use.after != cls.__name__ else None
    return Arguments(frozenset(names))


def _own_arguments(function: Callable) -> tuple[Arguments, str]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # a compiled constructor without a text signature
        return Arguments(frozenset(), open=True), "kwargs"
    named = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    kwargs = [p.name for p in parameters if p.kind is p.VAR_KEYWORD]
    return Arguments(frozenset(named), open=bool(kwargs)), kwargs[0] if kwargs else ""


def _use_of_kwargs(function: Callable, kwargs_name: str) -> _KwargsUse:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))
    except (OSError, TypeError):  # compiled or generated: nothing to read
        return _KwargsUse(elsewhere=True)
    visitor = _KwargsVisitor(kwargs_name)
    visitor.visit(tree)
    return visitor.use


class _KwargsVisitor(ast.NodeVisitor):
    def __init__(self, name: str) -> None:
        self.name = name
        self.use = _KwargsUse()

    def _is_kwargs(self, node: ast.AST) -> bool:
        return isinstance(node, ast.Name) and node.id == self.name

    def visit_Call(self, node: ast.Call) -> None:
        starred = [k for k in node.keywords if k.arg is None and self._is_kwargs(k.value)]
        method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        if starred and method == "__init__":
            self.use.to_parent = True
            self.use.fixed |= {k.arg for k in node.keywords if k.arg}
            parent = node.func.value
            if isinstance(parent, ast.Call) and parent.args and isinstance(parent.args[0], ast.Name):
                self.use.after = parent.args[0].id
            others = [*node.args, *(k.value for k in node.keywords if k not in starred)]
        elif isinstance(node.func, ast.Attribute) and self._is_kwargs(node.func.value):
            if method in ("pop", "get", "setdefault") and isinstance(node.args[0], ast.Constant):
                self.use.read.add(node.args[0].value)
            elif method != "update":
                self.use.elsewhere = True
            others = node.args
        else:
            others = list(ast.iter_child_nodes(node))
        for child in others:
            self.visit(child)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if self._is_kwargs(node.value) and isinstance(node.slice, ast.Constant):
            if isinstance(node.ctx, ast.Load):
                self.use.read.add(node.slice.value)
        else:
            self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        if isinstance(node.left, ast.Constant) and self._is_kwargs(node.comparators[0]):
            self.use.read.add(node.left.value)
        else:
            self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        if self._is_kwargs(node) and isinstance(node.ctx, ast.Load):
            self.use.elsewhere = True
