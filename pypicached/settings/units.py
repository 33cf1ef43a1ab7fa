"""Sizes and durations as people write them, both ways. Pure; knows no setting.

`K`, `M`, `G` and `T` alone are binary, as in systemd, nginx and coreutils; `KB` and its kind are
decimal (IEC 80000-13), `KiB` and its kind binary. Case does not matter.
"""

from __future__ import annotations

import math
import re

_KIB = 1024
# Largest first: spelling takes the first that fits.
_BINARY = (("TiB", _KIB**4), ("GiB", _KIB**3), ("MiB", _KIB**2), ("KiB", _KIB))
_SIZES = {
    "": 1,
    "b": 1,
    **{name.lower(): size for name, size in _BINARY},
    **{name[0].lower(): size for name, size in _BINARY},
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
}
# In milliseconds, so that spelling stays exact; largest first.
_DURATIONS = {"w": 604_800_000, "d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
# A person's bound: what is longer was meant as "unlimited" or is a slip.
MAX_DURATION_SECONDS = 100 * 365.25 * 86_400
# What SQLite and off_t hold.
MAX_SIZE_BYTES = 2**63 - 1

# At most 19 digits before and 9 after the point: enough for every size, and cheap to convert.
_NUMBER = r"[0-9]{1,19}(?:\.[0-9]{1,9})?"
_SIZE = re.compile(rf"({_NUMBER})\s*([a-z]*)", re.ASCII)
_PART = rf"{_NUMBER}\s*(?:ms|[smhdw])"
_COMBINED = re.compile(rf"{_PART}(?:\s*{_PART})*", re.ASCII)
_SINGLE = re.compile(rf"({_NUMBER})\s*(ms|[smhdw])", re.ASCII)


def parse_size(text: str) -> int:
    """Return bytes for "50GiB", "1.5 GB", "20G" or "4096"; ValueError if it is no size."""
    match = _SIZE.fullmatch(text.strip().lower())
    if match is None or match[2] not in _SIZES:
        raise ValueError("no size")
    number, factor = match[1], _SIZES[match[2]]
    size = round(float(number) * factor) if "." in number else int(number) * factor
    if size > MAX_SIZE_BYTES:
        raise ValueError("larger than any disk")
    return size


def parse_duration(text: str) -> float:
    """Return seconds for "10m", "500ms", "1h30m" or "90"; ValueError if it is no duration.

    In a combination each unit stands once, the largest first.
    """
    plain = text.strip().lower()
    if re.fullmatch(_NUMBER, plain, re.ASCII):
        return _bounded(float(plain))
    if _COMBINED.fullmatch(plain) is None:
        raise ValueError("no duration")
    parts = _SINGLE.findall(plain)
    factors = [_DURATIONS[unit] for _, unit in parts]
    if factors != sorted(set(factors), reverse=True):
        raise ValueError("no duration: each unit once, the largest first")
    total = sum(float(number) * factor for (number, _), factor in zip(parts, factors, strict=True))
    return _bounded(total / 1000)


def _bounded(seconds: float) -> float:
    if not math.isfinite(seconds) or seconds > MAX_DURATION_SECONDS:
        raise ValueError("longer than a hundred years")
    return seconds


def format_size(size_bytes: int) -> str:
    """Return a size for a person to read, rounded to one decimal: "1.5 GiB", "512 B"."""
    for name, factor in _BINARY:
        # 0.9995: 1023.99 MiB reads better as 1 GiB than as 1024 MiB.
        if abs(size_bytes) >= factor * 0.9995:
            return f"{size_bytes / factor:.1f}".removesuffix(".0") + f" {name}"
    return f"{size_bytes} B"


def spell_size(size_bytes: int) -> str:
    """Return a size as one would write it in a file; `parse_size` gives back the very same."""
    for name, factor in _BINARY:
        if size_bytes and size_bytes % factor == 0:
            return f"{size_bytes // factor}{name}"
    return f"{size_bytes}B"


def format_duration(seconds: float, parts: int | None = None) -> str:
    """Return "1h30m", "250ms", "0s": exact to the millisecond, or the `parts` largest units only.

    Weeks are spelled as days. `parse_duration` reads it back.
    """
    rest = round(seconds * 1000)
    spelled = []
    for unit, factor in _DURATIONS.items():
        count = 0 if unit == "w" else rest // factor
        if count:
            spelled.append(f"{count}{unit}")
            rest -= count * factor
    return "".join(spelled[:parts]) or "0s"
