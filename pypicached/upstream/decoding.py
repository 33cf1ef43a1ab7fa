"""Undoing content codings of pages, piece by piece (RFC 9110 §8.4).

Not left to the HTTP client: it takes a gzip stream that was cut in half for a whole one, and half a
page would hide the other half of a project.
"""

from __future__ import annotations

from collections.abc import Iterator

from isal import isal_zlib

from pypicached.errors import UpstreamAnswerError, UpstreamUnavailableError

# The largest piece that one packet may become before its size is looked at.
PIECE_BYTES = 1024 * 1024
# zlib's wbits: 16 for a gzip wrapper, 0 or the raw form for deflate.
GZIP_BITS, ZLIB_BITS, RAW_BITS = 16 + 15, 15, -15
# Its stubs take the class for an instance.
_NOT_ZIPPED: type[Exception] = isal_zlib.error  # type: ignore[assignment]


class Identity:
    """No coding at all."""

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Yield what was given."""
        yield data

    def finish(self) -> None:
        """Nothing can be missing that the client would not have seen."""


class Zipped:
    """gzip, or deflate in either of the forms that are sent under that name (§8.4.1.2)."""

    def __init__(self, index: str, *, deflate: bool) -> None:
        self._index = index
        self._deflate = deflate
        self._stream = isal_zlib.decompressobj(ZLIB_BITS if deflate else GZIP_BITS)
        self._begun = False

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Yield decoded pieces of bounded size. Raises UpstreamAnswerError for other bytes."""
        try:
            if self._deflate and not self._begun and data[0] & 0x0F != 8:
                self._stream = isal_zlib.decompressobj(RAW_BITS)
            self._begun = True
            while data:
                yield self._stream.decompress(data, PIECE_BYTES)
                data = self._stream.unconsumed_tail
        except _NOT_ZIPPED as error:
            raise UpstreamAnswerError(self._index, "sent a page that does not unpack") from error

    def finish(self) -> None:
        """Raise UpstreamUnavailableError unless the coding itself has come to its end."""
        if self._begun and not self._stream.eof:
            raise UpstreamUnavailableError(self._index, "broke off its answer")


def decoder_of(index: str, coding: str) -> Identity | Zipped:
    """Return the decoder of a Content-Encoding. Raises UpstreamAnswerError for others."""
    name = coding.strip().lower()
    if name in ("", "identity"):
        return Identity()
    if name in ("gzip", "x-gzip", "deflate"):
        return Zipped(index, deflate=name == "deflate")
    raise UpstreamAnswerError(index, "sent a page in a coding that was not asked for")
