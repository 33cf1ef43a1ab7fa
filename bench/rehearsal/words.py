"""The last words of a client, short enough for a table. Pure."""

from __future__ import annotations

import re

_OURS = re.compile(r"(?:\b(50[23]) (?:Server Error: )?)?(index pypi: [^)\n]*)")
# What pip says of a file or sidecar that it cannot have.
_RETRIED = re.compile(r"too many \d+ error responses")
_WIDTH = 60


def short(tool: str, errors: str) -> str:
    """Return what the client says went wrong: our own words if it shows them, else its last."""
    # pip tells of each retry; what counts is its conclusion.
    said = [line for line in errors.splitlines() if line.startswith("ERROR:")]
    text = errors if tool == "uv" or not said else said[0]
    ours = _OURS.search(" ".join(text.split()))
    if ours:
        words = " ".join(part for part in ours.groups() if part)
        return _cut(words.partition(" for url")[0])
    retried = _RETRIED.search(text)
    if retried:
        return retried[0]
    if "from versions: none" in text:
        return '"from versions: none"'
    if "was not found in the package registry" in " ".join(text.split()):
        return "not found"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return _cut(lines[-1].removeprefix("ERROR: ")) if lines else "nothing"


def _cut(text: str) -> str:
    return text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"
