"""Secrets: hidden wherever they are printed, and read from their files on demand.

Nothing here may put a secret into a message; errors name the setting and the path only.
"""

from __future__ import annotations

import hmac
from pathlib import Path

from pypicached.errors import SettingsError
from pypicached.settings.small_files import SECRET_BYTES, UnusableFileError, read_small

HIDDEN = "********"


class Secret:
    """A password or token whose `repr`, `str` and `format` are asterisks.

    Deliberately no `str` subclass: JSON encoders, joins and `%` formatting would see through that.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the secret itself, for the request that needs it and nothing else."""
        return self._value

    def __repr__(self) -> str:
        return HIDDEN

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other.reveal().encode())

    def __hash__(self) -> int:
        return hash(self._value)


def is_clean(text: str) -> bool:
    """Tell whether `text` can stand in a header: no control characters (RFC 9110 §5.5)."""
    return text.isprintable()


def read_secret(path: Path, key: str) -> Secret:
    """Return the secret in `path` without its final line end; SettingsError naming `key` if bad."""
    try:
        text = read_small(path, SECRET_BYTES).decode().rstrip("\r\n")
    except UnusableFileError as error:
        raise _unusable(key, path, str(error)) from None
    except UnicodeDecodeError:
        raise _unusable(key, path, "not UTF-8 text") from None
    if not text or not is_clean(text):
        raise _unusable(key, path, "it must hold one line, the secret, and nothing else")
    return Secret(text)


def _unusable(key: str, path: Path, why: str) -> SettingsError:
    return SettingsError([(key, f"{path} cannot be used: {why}", "")])
