"""Fixtures of the recipe tests."""

from tests.quick import _written_plainly  # noqa: F401
