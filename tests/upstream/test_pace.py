"""Bodies that drip are given up; slow readers of ours and slow networks are not."""

from __future__ import annotations

import pytest

from pypicached.errors import UpstreamTimeoutError
from pypicached.upstream.pace import LEAST_BYTES, WINDOW_SECONDS, Paced


class Body:
    """Pieces, each with the seconds for which it is waited."""

    def __init__(self, *pieces: tuple[float, int]) -> None:
        self.now = 0.0
        self._pieces = list(pieces)

    def clock(self) -> float:
        """Return the moment."""
        return self.now

    async def read_some(self) -> bytes:
        """Let the time of the next piece pass and return it."""
        if not self._pieces:
            return b""
        seconds, count = self._pieces.pop(0)
        self.now += seconds
        return bytes(count)


async def read(body: Body, *, idle_between: float = 0.0) -> int:
    """Read a body to its end, with pauses of our own between two pieces; return its length."""
    paced = Paced("pypi", body.read_some, body.clock)
    length = 0
    while data := await paced.read_some():
        length += len(data)
        body.now += idle_between
    return length


async def test_pace__drip() -> None:
    """A byte a second is too slow, as soon as that can be told."""
    body = Body(*[(1.0, 1)] * 1000)
    with pytest.raises(UpstreamTimeoutError, match="too slowly"):
        await read(body)
    assert body.now == WINDOW_SECONDS


async def test_pace__begins_well() -> None:
    """What begins well and then drips is given up as well."""
    body = Body((0.1, 1_000_000), *[(1.0, 1)] * 1000)
    with pytest.raises(UpstreamTimeoutError):
        await read(body)


async def test_pace__slow_network() -> None:
    """Two KiB a second is a slow network, and goes on for as long as it takes."""
    assert await read(Body(*[(1.0, 2048)] * 500)) == 500 * 2048


async def test_pace__small_body() -> None:
    """A small body may take its time: only one that is still on its way is given up."""
    assert await read(Body((WINDOW_SECONDS - 1, LEAST_BYTES // 10))) == LEAST_BYTES // 10


async def test_pace__slow_reader_of_ours() -> None:
    """What a client of ours takes its time for is not held against upstream."""
    assert await read(Body(*[(0.01, 100)] * 500), idle_between=30.0) == 50_000
