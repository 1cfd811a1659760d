import functools
from typing import Any

from mmvisionllama.signatures import Argument, accepted_arguments


class Root:
    def __init__(self, width: int = 1, depth: int = 2) -> None: ...


class Forwards(Root):
    def __init__(self, heads: int = 3, **kwargs: Any) -> None:
        super().__init__(**kwargs)


class Fixes(Root):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(depth=4, **kwargs)


class Swallows(Root):
    def __init__(self, heads: int = 3, **kwargs: Any) -> None:
        super().__init__()


class Reads(Root):
    def __init__(self, **kwargs: Any) -> None:
        self.ratio = kwargs.pop("ratio", 1)
        if "bias" in kwargs:
            self.bias = kwargs["bias"]
        super().__init__()


class HandsOn(Root):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__()
        self.part = Forwards(**kwargs)


class SkipsItsParent(Forwards):
    def __init__(self, scale: int = 5, **kwargs: Any) -> None:
        super(Forwards, self).__init__(**kwargs)


class WithoutConstructor(Forwards):
    pass


def test_forwarded_arguments_are_those_of_the_parent_too() -> None:
    assert accepted_arguments(Forwards).names == {"heads", "width", "depth"}


def test_inherited_constructor_counts() -> None:
    assert accepted_arguments(WithoutConstructor) == accepted_arguments(Forwards)


def test_argument_that_a_child_fixes_is_not_accepted() -> None:
    assert accepted_arguments(Fixes).names == {"width"}


def test_arguments_that_are_swallowed_are_not_accepted() -> None:
    assert accepted_arguments(Swallows).names == {"heads"}


def test_keys_read_from_kwargs_are_accepted() -> None:
    assert accepted_arguments(Reads).names == {"ratio", "bias"}


def test_types_and_defaults_are_known_through_parents() -> None:
    assert accepted_arguments(Forwards).by_name["width"] == Argument(int, 1)
    assert accepted_arguments(Reads).by_name["ratio"] == Argument()


def test_parent_that_super_skips_does_not_count() -> None:
    assert accepted_arguments(SkipsItsParent).names == {"scale", "width", "depth"}


def test_kwargs_handed_to_something_else_are_open() -> None:
    assert accepted_arguments(HandsOn).open
    assert not accepted_arguments(Forwards).open


def test_partial_functions_accept_what_the_function_does() -> None:
    def scale(value: float, factor: float = 1.0) -> float:
        return value * factor

    assert accepted_arguments(functools.partial(scale, factor=2.0)).names == {"value", "factor"}
