"""What holds for all tests: how they are selected, that they end, and that Ctrl-C reaches what they
start.

`-k rule_18` selects every test of rule 18, also those that name several rules.
"""

from __future__ import annotations

import faulthandler
import inspect
import os
import signal
from collections.abc import Iterator

import pytest

from tests.rules import rules_in

pytest_plugins = ["tests.s3.fixtures"]

# For the clean-up after a test that was interrupted.
GRACE_SECONDS = 60.0
# pytest turns 2 to a file while a test runs.
_stderr = os.dup(2)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Give each test the numbers of its rules as keywords."""
    function = getattr(item, "function", None)
    words = "" if function is None else inspect.getdoc(function) or ""
    item.extra_keyword_matches.update(f"rule_{number:02}" for number in rules_in(item.name, words))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """End the process, with the stacks of its threads, if a test outlives its time-out by far.

    pytest-timeout interrupts a test once. One whose clean-up hangs too would hang the whole run;
    so its worker dies, that test fails, and another worker goes on.
    """
    marker = item.get_closest_marker("timeout")
    own = marker.args[0] if marker is not None and marker.args else item.config.getini("timeout")
    _end_after(float(own) + GRACE_SECONDS)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(trylast=True)
def pytest_exception_interact() -> None:
    """Bound the clean-up after a failure: pytest has just cancelled what was to end the process."""
    _end_after(GRACE_SECONDS)


def _end_after(seconds: float) -> None:
    faulthandler.dump_traceback_later(seconds, exit=True, file=_stderr)


def pytest_configure() -> None:
    """Take SIGINT as usual: what a shell starts in the background ignores it, and so would we."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
