"""Markers of lock files (PEP 508, PEP 751): decided as far as extras and groups go.

What is left is plain PEP 508, which any target can be asked. Where no answer is sure, a comparison
counts as true: markers know no "not", so that never installs less.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

from packaging.markers import InvalidMarker, Marker

from pypicached.requirements.wishes import reason_of

# True: for every target; False: for none; else the marker that remains.
Condition = bool | str

_TOKEN = re.compile(
    r"""\s*(?:(?P<bracket>[()])
      | (?P<word>(?:and|or)\b(?!\.))
      | (?P<text>'[^']*'|"[^"]*")
      | (?P<operator>not\s+in\b|in\b|===|[<>=!~]=|[<>])
      | (?P<name>[A-Za-z_][A-Za-z_.]*))""",
    re.VERBOSE,
)
_DECIDED = frozenset({"extra", "extras", "dependency_groups"})
_MAX_LENGTH = 20_000
_MAX_DEPTH = 50


class Comparison(NamedTuple):
    """A comparison with what is selected: of `extra`, `extras` or `dependency_groups`."""

    variable: str
    # Whether it asks for presence (== or in) or absence (!= or not in).
    present: bool
    value: str


Decide = Callable[[Comparison], bool]


def decide_marker(text: str, decide: Decide) -> Condition:
    """Return what remains of a marker after `decide`; ValueError with the reason if it is none."""
    if len(text) > _MAX_LENGTH:
        raise ValueError(f"a marker of more than {_MAX_LENGTH:,} characters is not read")
    reader = _Reader(text, decide)
    condition = reader.either(0)
    if reader.kind:
        raise ValueError("the marker goes on where it should end")
    return condition if isinstance(condition, bool) else _checked(condition)


def _checked(marker: str) -> str:
    try:
        return str(Marker(marker))
    except InvalidMarker as error:
        raise ValueError(f"the marker cannot be read: {reason_of(str(error))}") from None
    except (ValueError, RecursionError):
        raise ValueError("the marker cannot be read") from None


def any_of(conditions: Iterable[Condition]) -> Condition:
    """Return when at least one of them holds."""
    return _combine(list(conditions), "or", absorbing=True)


def all_of(conditions: Iterable[Condition]) -> Condition:
    """Return when all of them hold."""
    return _combine(list(conditions), "and", absorbing=False)


def _combine(conditions: list[Condition], word: str, *, absorbing: bool) -> Condition:
    if absorbing in conditions:
        return absorbing
    texts = list(dict.fromkeys(c for c in conditions if isinstance(c, str)))
    if not texts:
        return not absorbing
    if len(texts) == 1:
        return texts[0]
    return f" {word} ".join(_bracketed(text, word) for text in texts)


def _bracketed(text: str, word: str) -> str:
    """Return the marker in brackets if it would fall apart between others."""
    mixed = " or " in text if word == "and" else False
    return f"({text})" if mixed else text


class _Reader:
    """Recursive descent over the tokens of one marker; and binds closer than or."""

    def __init__(self, text: str, decide: Decide) -> None:
        self._text = text
        self._decide = decide
        self._at = 0
        self.kind = ""
        self._here = ""
        self._next()

    def _next(self) -> str:
        """Go to the next token and return the one before it."""
        before = self._here
        found = _TOKEN.match(self._text, self._at)
        if found is None:
            if self._text[self._at :].strip():
                raise ValueError(f"the marker cannot be read (column {self._at + 1})")
            self.kind = self._here = ""
        else:
            self.kind = found.lastgroup or ""
            self._here = found[self.kind]
            self._at = found.end()
        return before

    def either(self, depth: int) -> Condition:
        if depth > _MAX_DEPTH:
            raise ValueError("the marker has too many brackets in one another")
        parts = [self._both(depth)]
        while self._here == "or":
            self._next()
            parts.append(self._both(depth))
        return any_of(parts)

    def _both(self, depth: int) -> Condition:
        parts = [self._one(depth)]
        while self._here == "and":
            self._next()
            parts.append(self._one(depth))
        return all_of(parts)

    def _one(self, depth: int) -> Condition:
        if self._here != "(":
            return self._comparison()
        self._next()
        condition = self.either(depth + 1)
        if self._next() != ")":
            raise ValueError("the marker lacks a closing bracket")
        return condition

    def _comparison(self) -> Condition:
        left, is_text = self._operand()
        if self.kind != "operator":
            raise ValueError("the marker lacks a comparison")
        operator = " ".join(self._next().split())
        right, also_text = self._operand()
        if is_text == also_text or (left if also_text else right) not in _DECIDED:
            return f"{left} {operator} {right}"
        variable, quoted = (left, right) if also_text else (right, left)
        if operator not in {"==", "!=", "in", "not in"}:
            raise ValueError(f"the marker compares {variable} in a way that says nothing")
        return self._decide(Comparison(variable, operator in {"==", "in"}, quoted[1:-1]))

    def _operand(self) -> tuple[str, bool]:
        if self.kind not in {"text", "name"}:
            raise ValueError("the marker lacks something to compare")
        is_text = self.kind == "text"
        return self._next(), is_text
