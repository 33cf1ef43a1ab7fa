"""Clients that never stop asking, over connections that they keep, and never ask twice.

What fails is told, and nothing is tried again: a connection that closes under a request is a
failed request here, as it would be for a client without retries. Before a kept connection is used
again it is looked at, as every pool of connections does (urllib3, hyper).
"""

from __future__ import annotations

import asyncio
import random
import select
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

END_SECONDS = 30.0


class Load:
    """`clients` connections that ask for these paths in turn, from `with` to its end.

    Between its requests each waits for up to `idle_seconds`.
    """

    def __init__(
        self, url: str, paths: Sequence[str], clients: int, *, idle_seconds: float = 0.0
    ) -> None:
        where = urlsplit(url)
        self._address = (where.hostname or "", where.port or 0)
        self._paths = list(paths)
        self._clients = clients
        self._idle_seconds = idle_seconds
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="load")
        self._stop = threading.Event()
        self._progress = threading.Condition()
        self.answered = 0
        self.connections = 0
        self.failures: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(END_SECONDS)
        assert not self._thread.is_alive(), "a client still waits for its answer"

    def wait_for(self, more: int) -> None:
        """Return once so many more requests have been answered."""
        goal = self.answered + more
        self._wait(lambda: self.answered >= goal, "nothing is answered")

    def wait_for_connections(self, number: int) -> None:
        """Return once so many connections have been made since the beginning."""
        self._wait(lambda: self.connections >= number, "nobody connects again")

    def _wait(self, reached: Callable[[], bool], otherwise: str) -> None:
        with self._progress:
            assert self._progress.wait_for(lambda: reached() or self.failures, END_SECONDS), (
                otherwise
            )

    async def _run(self) -> None:
        await asyncio.gather(*(self._client(number) for number in range(self._clients)))

    async def _client(self, number: int) -> None:
        position = number
        while not self._stop.is_set():
            reader, writer = await asyncio.open_connection(*self._address)
            with self._progress:
                self.connections += 1
                self._progress.notify_all()
            try:
                kept = True
                while kept and not self._stop.is_set():
                    path = self._paths[position % len(self._paths)]
                    position += 1
                    kept = await self._ask(reader, writer, path)
                    await asyncio.sleep(random.uniform(0, self._idle_seconds))
                    kept = kept and not _is_closed(writer)
            except (OSError, EOFError, ValueError) as error:
                self._failed(f"{type(error).__name__}: {error}")
            finally:
                writer.close()

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str
    ) -> bool:
        """Ask once; return whether the connection may be kept."""
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        status, _, fields = head.partition("\r\n")
        headers = dict(line.split(": ", 1) for line in fields.split("\r\n") if line)
        await reader.readexactly(int(headers["content-length"]))
        with self._progress:
            self.answered += 1
            self._progress.notify_all()
        if " 200 " not in status:
            self._failed(status)
        return headers.get("connection") != "close"

    def _failed(self, how: str) -> None:
        with self._progress:
            self.failures.append(how)
            self._progress.notify_all()


def _is_closed(writer: asyncio.StreamWriter) -> bool:
    """Tell whether the other end has closed, by what the kernel knows now."""
    look = select.poll()
    look.register(writer.get_extra_info("socket").fileno(), select.POLLIN)
    return bool(look.poll(0))
