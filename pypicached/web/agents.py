"""Which tool a client says it is: the first product of its User-Agent (RFC 9110 §10.1.5). Pure."""

from __future__ import annotations

import re
from functools import lru_cache

UNKNOWN = "unknown"
# `pip/23.0.1 {"ci":…}`, `uv/0.9.1 {…}`, `poetry/1.8.3 (…)`: a token, and a token behind a slash.
_WORD = r"[A-Za-z0-9!#$%&'*+.^_`|~-]"
_PRODUCT = re.compile(rf"{_WORD}{{1,32}}(?:/{_WORD}{{1,32}})?(?=[ \t]|$)")


# A build host's clients send a handful of them, again and again.
@lru_cache(maxsize=256)
def agent_of(header: str | None) -> str:
    """Return tool and version, at most 65 printable characters, or "unknown"."""
    match = _PRODUCT.match(header) if header else None
    return match[0] if match else UNKNOWN
