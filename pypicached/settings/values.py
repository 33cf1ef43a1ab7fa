"""One value of one setting: from what TOML gave to the typed value, or words why not. Pure.

Each `parse_…` takes the TOML value and the directory that relative paths are relative to. Messages
quote the bad value; for a secret or a URL, which may hold one, they must not: see `urls` and
`parse_secret`.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal, TypeVar

from pypicached import errors
from pypicached.errors import clean
from pypicached.networks import Network, parse_network
from pypicached.settings import units
from pypicached.settings.addresses import check_socket_path, split_listen
from pypicached.settings.model import Share
from pypicached.settings.places import expand
from pypicached.settings.secret import Secret, is_clean

T = TypeVar("T")
Parse = Callable[[object, Path], object]
Kind = Literal["text", "boolean", "number", "list"]

_TYPES: tuple[tuple[type, str], ...] = (
    (bool, "true or false"),
    (int, "a number"),
    (float, "a number"),
    (str, "text"),
    (list, "a list"),
    (tuple, "a list"),
    (dict, "a table"),
)
_BOOLEANS = {"true": True, "yes": True, "on": True, "1": True}
_BOOLEANS |= {"false": False, "no": False, "off": False, "0": False}
_SIZE_EXAMPLE = 'say e.g. "50GiB"'
_DAY_SECONDS = 86_400.0
_HOUR_SECONDS = 3_600.0
_DURATION_EXAMPLE = 'say e.g. "10m"'


class BadValueError(ValueError):
    """A value that its setting cannot have: a sentence, and what to write instead (or "")."""

    def __init__(self, message: str, suggestion: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.suggestion = suggestion


def find_nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the one of `known` that `word` was probably meant to be, or None."""
    # 0.65: one slip in a short key is still found, another word that shares a part is not.
    close = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.65)
    return close[0] if close else None


def ask_for(nearest: str | None) -> str:
    """Return the suggestion `did you mean "…"?`, or "" for None."""
    return f'did you mean "{nearest}"?' if nearest else ""


def quote(value: object) -> str:
    """Return a bad value as it stands in a message: short, printable, in quotes if it is text."""
    if isinstance(value, str):
        return errors.quote(value)
    if isinstance(value, dict | list | tuple):
        return name_type(value)
    return "so large a number" if _is_huge(value) else clean(str(value), 60)


def _is_huge(value: object) -> bool:
    """Tell whether it is a number that no setting can have; Python refuses to spell some."""
    return isinstance(value, int) and abs(value) > units.MAX_SIZE_BYTES


def name_type(value: object) -> str:
    """Return what a TOML value is, in words."""
    return next((name for kind, name in _TYPES if isinstance(value, kind)), "a date or time")


def from_text(text: str, kind: Kind) -> object:
    """Return the TOML value that `text` (environment, command line) stands for."""
    if kind == "boolean":
        return _BOOLEANS.get(text.strip().lower(), text)
    if kind == "number":
        return int(text) if re.fullmatch(r"\s*[0-9]{1,18}\s*", text, re.ASCII) else text
    if kind == "list":
        return _list_from_text(text)
    return text


def _list_from_text(text: str) -> object:
    # "[::1]:3143" opens with a bracket too; JSON lists of text open with `["`, or are empty.
    if re.match(r'\s*\[\s*["\]]', text):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            raise BadValueError(f"{quote(text)} is no JSON list") from None
    return [part.strip() for part in text.split(",") if part.strip()]


def parse_boolean(value: object, _base: Path) -> bool:
    """Accept true and false."""
    if not isinstance(value, bool):
        raise BadValueError(f"must be true or false, not {quote(value)}")
    return value


def parse_text(value: object, _base: Path) -> str:
    """Accept one line of printable text."""
    text = _text(value)
    if not text or not is_clean(text):
        raise BadValueError("must be one line of text without control characters")
    return text


def parse_secret(value: object, _base: Path) -> Secret:
    """Accept one line of printable text and hide it; no message quotes it."""
    if not isinstance(value, str):
        raise BadValueError("must be text in quotes")
    if not value or not is_clean(value):
        raise BadValueError("must be one line of text without control characters")
    return Secret(value)


def parse_username(value: object, base: Path) -> str:
    """Accept a user name for Basic authentication, which has no colon (RFC 7617 §2)."""
    name = parse_text(value, base)
    if ":" in name:
        raise BadValueError("a user name has no colon", "give the password as `password`")
    return name


def parse_path(value: object, base: Path) -> Path:
    """Accept a path; a relative one is relative to `base`, `~` is the user's home."""
    text = str(value) if isinstance(value, Path) else _text(value)
    if not text or "\0" in text:
        raise BadValueError(f"{quote(text)} is no path")
    path = expand(Path(text))
    # `expand` makes it absolute from the working directory; a file's paths start at the file.
    return path if Path(text).is_absolute() or text.startswith("~") else base / text


def parse_socket_path(value: object, base: Path) -> Path:
    """Accept a path that fits into a socket address."""
    path = parse_path(value, base)
    try:
        check_socket_path(path)
    except ValueError as error:
        raise BadValueError(str(error)) from None
    return path


def parse_listen(value: object, base: Path) -> tuple[str, ...]:
    """Accept a list of "HOST:PORT", "[IPV6]:PORT" and "unix:/path", at least one, none twice."""
    addresses = each(value, lambda text: _listen(text, base))
    if not addresses:
        raise BadValueError("at least one address is needed")
    twice = {a for a in addresses if addresses.count(a) > 1}
    if twice:
        raise BadValueError(f"{quote(min(twice))} stands there twice")
    return addresses


def _listen(text: str, base: Path) -> str:
    if text.startswith("unix:"):
        return f"unix:{parse_socket_path(text.removeprefix('unix:'), base)}"
    try:
        split_listen(text)
    except ValueError as error:
        message, _, suggestion = str(error).partition("; ")
        raise BadValueError(f"{quote(text)} {message}", suggestion) from None
    return text


def parse_networks(value: object, _base: Path) -> tuple[Network, ...]:
    """Accept a list of networks and addresses; an empty one, too."""
    return each(value, _network)


def _network(text: str) -> Network:
    try:
        return parse_network(text)
    except ValueError as error:
        message, _, suggestion = str(error).partition("; ")
        raise BadValueError(message, suggestion) from None


def one_of(*choices: str) -> Parse:
    """Accept one of these words, in any case."""

    def parse(value: object, _base: Path) -> str:
        word = _text(value).strip().lower()
        if word not in choices:
            words = " or ".join(f'"{choice}"' for choice in choices)
            raise BadValueError(
                f"{quote(value)} is not {words}", ask_for(find_nearest(word, choices))
            )
        return word

    return parse


def count(value: object, _base: Path) -> int:
    """Accept a whole number of at least one."""
    if isinstance(value, bool) or not isinstance(value, int):
        wrong = quote(value) if isinstance(value, str | float) else name_type(value)
        raise BadValueError(f"must be a whole number without quotes, not {wrong}")
    if not 1 <= value <= 1_000_000:
        raise BadValueError(f"{quote(value)} is not between 1 and 1000000")
    return value


def duration(*, off: bool = False, zero: bool = False) -> Parse:
    """Accept a duration in seconds; `off` allows "off" (0.0), `zero` allows 0."""

    def parse(value: object, _base: Path) -> float:
        if off and value == "off":
            return 0.0
        seconds = _seconds(value, 'say e.g. "10m", or "off"' if off else _DURATION_EXAMPLE)
        if not seconds and not zero:
            raise BadValueError("must be longer than nothing", 'say "off"' if off else "")
        return seconds

    return parse


def _seconds(value: object, example: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise BadValueError(f"must be a duration, not {name_type(value)}", example)
    try:
        # "e" notation, inf and nan of TOML floats are no durations either.
        return units.parse_duration("" if _is_huge(value) else str(value))
    except ValueError as error:
        raise BadValueError(f"{quote(value)} is {error}", example) from None


def parse_prune_after(value: object, _base: Path) -> float | None:
    """Accept a duration of at least a day, or "never" (None)."""
    return None if value == "never" else _days(value, 'say e.g. "90d", or "never"')


def parse_keep(value: object, _base: Path) -> float:
    """Accept a duration of at least a day, or "off" (0.0)."""
    return 0.0 if value == "off" else _days(value, 'say e.g. "90d", or "off"')


def _days(value: object, example: str) -> float:
    seconds = _seconds(value, example)
    # A plain 90 is a minute and a half, which nobody means here.
    if seconds < _DAY_SECONDS:
        raise BadValueError(f"{quote(value)} is less than a day", example)
    return seconds


def parse_min_age(value: object, _base: Path) -> float:
    """Accept a duration of at least an hour, or "off" (0.0)."""
    if value == "off":
        return 0.0
    example = 'say e.g. "7d", or "off"'
    seconds = _seconds(value, example)
    # A plain 7 is seven seconds, which nobody means here.
    if seconds < _HOUR_SECONDS:
        raise BadValueError(f"{quote(value)} is less than an hour", example)
    return seconds


def size(*, zero: bool = False) -> Parse:
    """Accept a size in bytes; `zero` allows 0."""

    def parse(value: object, _base: Path) -> int:
        size_bytes = _bytes(value, _SIZE_EXAMPLE)
        if not size_bytes and not zero:
            raise BadValueError("must be more than nothing", _SIZE_EXAMPLE)
        return size_bytes

    return parse


def parse_max_size(value: object, base: Path) -> Share | int | None:
    """Accept a size, a share of the disk, or "unlimited" (None)."""
    if value == "unlimited":
        return None
    example = 'say e.g. "50GiB", "40%" or "unlimited"'
    limit = _share_or_bytes(value, base, example)
    if limit in (0, Share(0.0)):
        raise BadValueError("must be more than nothing", example)
    return limit


def parse_min_free(value: object, base: Path) -> Share | int:
    """Accept a size or a share of the disk that is less than all of it."""
    example = 'say e.g. "5%" or "10GiB"'
    free = _share_or_bytes(value, base, example)
    if free == Share(100.0):
        raise BadValueError("leaves no room for the cache", example)
    return free


def _share_or_bytes(value: object, _base: Path, example: str) -> Share | int:
    if not isinstance(value, str) or not value.rstrip().endswith("%"):
        return _bytes(value, example)
    digits = value.strip().removesuffix("%").strip()
    if re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,6})?", digits, re.ASCII) is None or float(digits) > 100:
        raise BadValueError(f"{quote(value)} is no share of a disk", example)
    return Share(float(digits))


def _bytes(value: object, example: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise BadValueError(f"must be a size, not {name_type(value)}", example)
    try:
        return units.parse_size("" if _is_huge(value) else str(value))
    except ValueError as error:
        raise BadValueError(f"{quote(value)} is {error}", example) from None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise BadValueError(f"must be text in quotes, not {name_type(value)}")
    return value


def each(value: object, parse: Callable[[str], T]) -> tuple[T, ...]:
    """Return what `parse` makes of each text of a list; all that are bad are told at once."""
    good, bad = [], []
    for text in parse_texts(value):
        try:
            good.append(parse(text))
        except BadValueError as error:
            bad.append(error)
    if len(bad) == 1:
        raise bad[0]
    if bad:
        told = (f"{e.message} ({e.suggestion})" if e.suggestion else e.message for e in bad)
        raise BadValueError("; ".join(told))
    return tuple(good)


def parse_texts(value: object) -> list[str]:
    """Accept a list of texts."""
    if isinstance(value, str):
        raise BadValueError("must be a list, not text", f"write [{quote(value)}]")
    if not isinstance(value, list | tuple):
        raise BadValueError(f"must be a list of texts, not {name_type(value)}")
    wrong = next((item for item in value if not isinstance(item, str)), None)
    if wrong is not None:
        raise BadValueError(f"must be a list of texts; one of them is {name_type(wrong)}")
    return list(value)
