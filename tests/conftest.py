"""What holds for all tests: how they are selected, and that Ctrl-C reaches what they start.

`-k rule_18` selects every test of rule 18, also those that name several rules.
"""

from __future__ import annotations

import inspect
import signal

import pytest

from tests.rules import rules_in

pytest_plugins = ["tests.s3.fixtures"]


def pytest_itemcollected(item: pytest.Item) -> None:
    """Give each test the numbers of its rules as keywords."""
    function = getattr(item, "function", None)
    words = "" if function is None else inspect.getdoc(function) or ""
    item.extra_keyword_matches.update(f"rule_{number:02}" for number in rules_in(item.name, words))


def pytest_configure() -> None:
    """Take SIGINT as usual: what a shell starts in the background ignores it, and so would we."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
