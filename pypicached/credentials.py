"""The Authorization header of one index, made from its settings and read anew when it lapses."""

from __future__ import annotations

import base64
import logging

from pypicached.errors import SettingsError
from pypicached.logs import event
from pypicached.settings import Index

logger = logging.getLogger(__name__)


class Credentials:
    """Callable as `upstream.Connection` wants it: the header's value, or None.

    A secret in a file may be rotated while the daemon runs: `reread` is asked after a 401.
    """

    def __init__(self, index: Index) -> None:
        self._index = index
        self._header = self._build()

    def __call__(self) -> str | None:
        """Return the value of the Authorization header."""
        return self._header

    def reread(self) -> bool:
        """Read the secret again; return whether it has changed.

        A file that cannot be read (it may be about to be replaced) changes nothing: the 401 stands.
        """
        before = self._header
        try:
            self._header = self._build()
        except SettingsError as error:
            event(logger, logging.WARNING, str(error), index=self._index.name)
        return self._header != before

    def _build(self) -> str | None:
        index = self._index
        if index.authentication == "none":
            return None
        secret = index.read_secret()
        revealed = "" if secret is None else secret.reveal()
        if index.authentication == "bearer":
            return f"Bearer {revealed}"
        pair = f"{index.username}:{revealed}".encode()
        return f"Basic {base64.b64encode(pair).decode('ascii')}"
