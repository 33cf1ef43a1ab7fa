"""Problems of a configuration, gathered so that all are told at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from pypicached.errors import SettingsError
from pypicached.settings.values import BadValueError

P = ParamSpec("P")
T = TypeVar("T")
Problem = tuple[str, str, str]


def describe(problem: Problem) -> str:
    """Return a problem as one line: key, message, and the suggestion if there is one."""
    key, message, suggestion = problem
    return f"{key}: {message}; {suggestion}" if suggestion else f"{key}: {message}"


class Problems:
    """What is wrong so far, in the order found. For one load, by one caller."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def add(self, key: str, message: str, suggestion: str = "") -> None:
        """Note one problem; `key` is dotted, as in `cache.max_size` or `index.pypi.url`."""
        self.found.append((key, message, suggestion))

    def attempt(
        self, key: str, parse: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T | None:
        """Return what `parse` returns; note its `BadValueError` under `key` and return None."""
        try:
            return parse(*args, **kwargs)
        except BadValueError as error:
            self.add(key, error.message, error.suggestion)
            return None

    def raise_if_any(self) -> None:
        """Raise SettingsError with everything found."""
        if self.found:
            raise SettingsError(self.found)
