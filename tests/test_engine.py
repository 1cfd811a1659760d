"""Former names of the package are importable from mmvisionllama.engine for one release."""

import importlib

import pytest

from mmvisionllama import engine


@pytest.mark.parametrize("name", engine.__all__)
def test_a_former_name_is_there_with_a_warning_that_says_where_it_is_now(name: str) -> None:
    with pytest.warns(
        DeprecationWarning, match=rf"mmvisionllama\.engine\.{name} is mmvisionllama\."
    ) as caught:
        found = getattr(engine, name)
    place = str(caught[0].message).split(" is ")[1].removesuffix(" now")
    module, _, attribute = place.rpartition(".")
    if "ExitStatus" in place:
        module, attribute = "mmvisionllama.errors", f"ExitStatus.{attribute}"
    value = importlib.import_module(module)
    for part in attribute.split("."):
        value = getattr(value, part)
    assert found is value


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        engine.Nothing  # noqa: B018
