"""The options of a line in a requirements file, by name. Knows their spelling, not their effect."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import NamedTuple

# Option → whether it takes a value; those that pip had once are still found in files.
_TAKES_VALUE = {
    "--requirement": True,
    "--constraint": True,
    "--editable": True,
    "--hash": True,
    "--only-binary": True,
    "--no-binary": True,
    "--prefer-binary": False,
    "--pre": False,
    "--all-releases": True,
    "--only-final": True,
    "--require-hashes": False,
    "--no-require-hashes": False,
    "--index-url": True,
    "--extra-index-url": True,
    "--find-links": True,
    "--no-index": False,
    "--trusted-host": True,
    "--use-feature": True,
    "--config-settings": True,
    "--global-option": True,
    "--install-option": True,
    "--build-option": True,
    "--process-dependency-links": False,
}
_ALIASES = {
    "-r": "--requirement",
    "-c": "--constraint",
    "-e": "--editable",
    "-i": "--index-url",
    "--pypi-url": "--index-url",
    "-f": "--find-links",
    "-C": "--config-settings",
    "--config-setting": "--config-settings",
}
_LONG = sorted([*_TAKES_VALUE, *(name for name in _ALIASES if name.startswith("--"))])
# Hundreds of hashes; splitting takes a microsecond per character.
_MAX_LENGTH = 100_000


class Option(NamedTuple):
    """One option by its long name; a flag's value is empty."""

    name: str
    value: str


class OptionLine(NamedTuple):
    """What a line consists of: a requirement (or none), options, and words that nobody reads."""

    requirement: str
    options: list[Option]
    stray: list[str]


def split_line(text: str) -> OptionLine:
    """Take a logical line apart; ValueError with the reason if its options cannot be read.

    The requirement ends before the first word that begins with "-" (only blanks part words here);
    it is left as it is, as splitting like a shell would take the quotes out of its markers.
    """
    words = text.split(" ")
    end = next((i for i, word in enumerate(words) if word.startswith("-")), len(words))
    rest = " ".join(words[end:])
    if len(rest) > _MAX_LENGTH:
        raise ValueError(f"options of more than {_MAX_LENGTH:,} characters are not read")
    try:
        split = shlex.split(rest) if any(c in rest for c in "\\'\"") else rest.split()
    except ValueError:
        raise ValueError("a quotation mark in its options has no end") from None
    options, stray = _options(split)
    return OptionLine(" ".join(words[:end]), options, stray)


def _options(words: list[str]) -> tuple[list[Option], list[str]]:
    options: list[Option] = []
    stray: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "--":  # nothing behind it is an option
            stray.extend(rest)
        elif not word.startswith("-") or word == "-":
            stray.append(word)
        else:
            options.append(_option(word, rest))
    return options, stray


def _option(word: str, rest: Iterator[str]) -> Option:
    """Return an option, with its value from the word itself or from the next one."""
    name, attached = _name(word)
    if not _TAKES_VALUE[name]:
        if attached is not None:
            raise ValueError(f"{name} takes no value")
        return Option(name, "")
    value = attached if attached is not None else next(rest, None)
    if value is None:
        raise ValueError(f"{name} needs a value")
    return Option(name, value)


def _name(word: str) -> tuple[str, str | None]:
    """Return the long name of an option and the value that is attached to it."""
    if not word.startswith("--"):
        short = word[:2]
        # -rfile as well as -r file
        attached: str | None = word[2:] or None
        if short not in _ALIASES:
            raise ValueError(f'no option "{_shown(short)}" is known in such files')
        return _ALIASES[short], attached
    spelled, equals, value = word.partition("=")
    name = _ALIASES.get(spelled, spelled)
    if name not in _TAKES_VALUE:
        # As in pip, any beginning that only one option has will do.
        found = {_ALIASES.get(long, long) for long in _LONG if long.startswith(spelled)}
        if len(found) != 1:
            raise ValueError(f'no option "{_shown(spelled)}" is known in such files')
        name = found.pop()
    return name, value if equals else None


def _shown(option: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in option[:40])
