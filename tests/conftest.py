"""`-k rule_18` selects every test of rule 18, also those that name several rules."""

from __future__ import annotations

import inspect

import pytest

from tests.rules import rules_in


def pytest_itemcollected(item: pytest.Item) -> None:
    """Give each test the numbers of its rules as keywords."""
    function = getattr(item, "function", None)
    words = "" if function is None else inspect.getdoc(function) or ""
    item.extra_keyword_matches.update(f"rule_{number:02}" for number in rules_in(item.name, words))
