"""Checking a body against everything its index said of it: length, and every known hash."""

from __future__ import annotations

import hashlib

import msgspec


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What an index said of a file. `limit_bytes` bounds a body of unknown size."""

    size: int | None = None
    hashes: dict[str, str] = {}
    limit_bytes: int | None = None


class Digests:
    """Running digests of one body: sha256 always, and every given algorithm that hashlib knows.

    Not thread-safe, but may be used from one thread after another.
    """

    def __init__(self, expected: Expected) -> None:
        self._expected = expected
        names = {"sha256"} | {name for name in expected.hashes if _computable(name)}
        # MD5 and SHA-1 identify files here as their index says; sha256 alone names blobs.
        self._running = {name: hashlib.new(name, usedforsecurity=False) for name in sorted(names)}

    @property
    def verifying(self) -> bool:
        """Whether the index gave at least one hash that we can check."""
        return any(name in self._running for name in self._expected.hashes)

    def update(self, data: bytes) -> None:
        """Take in the next bytes."""
        for digest in self._running.values():
            digest.update(data)

    def sha256(self) -> str:
        """Return the sha256 of what was taken in, lower-case hex."""
        return self._running["sha256"].hexdigest()

    def mismatch(self, length: int) -> str | None:
        """Return what does not match, in our words, or None if all does."""
        if self._expected.size is not None and length != self._expected.size:
            return f"sent {length} bytes of a file of {self._expected.size}"
        for name, digest in self._running.items():
            wanted = self._expected.hashes.get(name)
            if wanted is not None and digest.hexdigest() != wanted.lower():
                return f"sent bytes that do not match their {name}"
        return None


def matches(expected: Expected, body: bytes) -> bool:
    """Whether a whole body is what its index said of it."""
    digests = Digests(expected)
    digests.update(body)
    return digests.mismatch(len(body)) is None


def _computable(name: str) -> bool:
    # The shake family has no length of its own: a page cannot mean anything by it.
    return name in hashlib.algorithms_available and not name.startswith("shake")
