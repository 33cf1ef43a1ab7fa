"""The fake index itself: two listeners on loopback, what they publish, record and do wrong.

It owns its sockets and connection tasks, and leaves none behind. A mistake in its own code is
raised by `stop`, so that no test takes it for a misbehaving upstream.
"""

from __future__ import annotations

import asyncio
import socket
from types import TracebackType
from typing import Any, Literal, Self

from tests.fake import faults as rules
from tests.fake.faults import Fault, FaultRules, Gate, Pattern, matches
from tests.fake.pages import Dialect
from tests.fake.resources import Resource, evaluate
from tests.fake.site import Site, basic
from tests.fake.wheels import DistFile
from tests.fake.wire import Connection, Reply, Request

Origin = Literal["pages", "files"]


class FakeUpstream:
    """One index on 127.0.0.1, pages and files on ports of their own; `async with` runs it.

    `auth` is `(username, password)` or a token, asked for by the pages' listener, and by the
    files' one too if `auth_files`. `separate_files=False` puts the files on the pages' origin.
    Further arguments are fields of `Dialect`. It stops and starts again on the same ports, with
    the same content, as an index that was down. All methods belong to the thread of its loop.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        auth: tuple[str, str] | str | None = None,
        auth_files: bool = False,
        separate_files: bool = True,
        **dialect: Any,
    ) -> None:
        self.dialect = Dialect(**dialect)
        self.requests: list[Request] = []
        self.separate_files = separate_files
        self._site = Site(self.dialect)
        self._site.files_need_credentials = auth_files
        self._rules = FaultRules()
        self._ports: dict[Origin, int] = {"pages": port, "files": 0}
        self._listeners: list[socket.socket] = []
        # While it is down: else a client that tries to connect may be given the very port.
        self._kept: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._mistakes: list[BaseException] = []
        self._watchers: set[asyncio.Event] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.require(auth)

    # ── life ─────────────────────────────────────────────────────────────────────────────────

    async def start(self) -> None:
        """Listen; the ports of an earlier start are used again."""
        self._loop = asyncio.get_running_loop()
        for origin in ("pages", "files"):
            self._listen(origin)
        self._let_go()

    async def stop(self) -> None:
        """Close every socket and end every connection; raises what went wrong in here."""
        loop = asyncio.get_running_loop()
        for listener in self._listeners:
            loop.remove_reader(listener)
            address = listener.getsockname()
            listener.close()
            self._keep(address)
        self._listeners.clear()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # The tasks' own callbacks run one step later.
        await asyncio.sleep(0)
        if self._mistakes:
            raise self._mistakes.pop(0)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self.stop()
        finally:
            self._let_go()

    def _keep(self, address: tuple[str, int]) -> None:
        kept = socket.socket()
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        kept.bind(address)
        self._kept.append(kept)

    def _let_go(self) -> None:
        for kept in self._kept:
            kept.close()
        self._kept.clear()

    def _listen(self, origin: Origin) -> None:
        assert self._loop is not None
        listener = socket.create_server(("127.0.0.1", self._ports[origin]), backlog=1024)
        listener.setblocking(False)
        self._ports[origin] = listener.getsockname()[1]
        self._listeners.append(listener)
        self._loop.add_reader(listener, self._accept, listener, origin)

    def _accept(self, listener: socket.socket, origin: Origin) -> None:
        assert self._loop is not None
        try:
            sock, _ = listener.accept()
        except OSError:
            return  # The peer has left again.
        sock.setblocking(False)
        connection = Connection(sock, origin, self._answer)
        task = self._loop.create_task(connection.run())
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._end(done, sock))

    def _end(self, task: asyncio.Task[None], sock: socket.socket) -> None:
        self._tasks.discard(task)
        # A task that is cancelled before its first step never got to close its socket.
        sock.close()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._mistakes.append(error)

    # ── addresses ────────────────────────────────────────────────────────────────────────────

    @property
    def pages_origin(self) -> str:
        """Scheme, host and port of the pages."""
        return f"http://127.0.0.1:{self._ports['pages']}"

    @property
    def files_origin(self) -> str:
        """Scheme, host and port that pages link to."""
        origin: Origin = "files" if self.separate_files else "pages"
        return f"http://127.0.0.1:{self._ports[origin]}"

    @property
    def url(self) -> str:
        """The index URL, as a client is configured with it."""
        return self.pages_origin + self.dialect.root

    def url_of(self, file: DistFile) -> str:
        """Return the absolute URL at which the file is served."""
        return self._site.url_of(file, self.files_origin)

    # ── content ──────────────────────────────────────────────────────────────────────────────

    @property
    def projects(self) -> list[str]:
        """Normalized names of what is published."""
        return sorted(self._site.projects)

    def add(self, project: str, *files: DistFile, **page_options: Any) -> None:
        """Publish files (a file of the same name is replaced) and set fields of `Project`."""
        self._site.publish(project, files, page_options)

    def remove(
        self, project: str, filename: str | None = None, *, keep_served: bool = False
    ) -> None:
        """Take a project or one file off its page, and 404 its bytes unless `keep_served`."""
        self._site.withdraw(project, filename, keep_served=keep_served)

    def serve(
        self, path: str, body: bytes, content_type: str = "text/html", **headers: str
    ) -> None:
        """Answer a decoded path with these bytes, before all else; `_` in header names is `-`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._site.static[path] = Resource(body, content_type, headers=named)

    def redirect(self, pattern: Pattern, location: str, code: int = 302) -> Fault:
        """Redirect what matches, until the rule is cancelled."""
        return self.fault(pattern, "status", code=code, headers={"Location": location})

    def require(self, auth: tuple[str, str] | str | None) -> None:
        """Ask for these credentials from now on: Basic, a Bearer token, or none."""
        if isinstance(auth, tuple):
            self._site.credentials = basic(*auth)
        else:
            self._site.credentials = None if auth is None else f"Bearer {auth}"

    # ── misbehaviour ─────────────────────────────────────────────────────────────────────────

    def fault(
        self,
        pattern: Pattern,
        kind: str,
        times: int | None = None,
        *,
        method: str | None = None,
        **args: Any,
    ) -> Fault:
        """Make matching requests go wrong (the kinds and their arguments: README.md).

        `times=None` holds for ever; rules with `times` form a queue, one of them per request.
        """
        return self._rules.add(Fault(pattern, kind, times, method, args))

    def hold(self, pattern: Pattern, after_bytes: int | None = None) -> Gate:
        """Stop matching transfers after so many body bytes; None: before the status line."""
        assert self._loop is not None, "start it first"
        gate = Gate(self._loop, pattern, after_bytes)
        self._rules.gates.append(gate)
        return gate

    def heal(self) -> None:
        """Drop every fault, and open and drop every gate."""
        self._rules.faults.clear()
        for gate in self._rules.gates:
            gate.open()
        self._rules.gates.clear()

    # ── record ───────────────────────────────────────────────────────────────────────────────

    def count(self, pattern: Pattern, method: str | None = None) -> int:
        """Return how many matching requests came in since the last `clear`."""
        return sum(matches(pattern, request, method) for request in self.requests)

    def clear(self) -> None:
        """Forget the recorded requests."""
        self.requests.clear()

    async def arrived(self, pattern: Pattern, count: int = 1, method: str | None = None) -> None:
        """Return as soon as `count` matching requests have come in."""
        watcher = asyncio.Event()
        self._watchers.add(watcher)
        try:
            while self.count(pattern, method) < count:
                watcher.clear()
                await watcher.wait()
        finally:
            self._watchers.discard(watcher)

    def _answer(self, request: Request) -> Reply:
        self.requests.append(request)
        for watcher in self._watchers:
            watcher.set()
        struck = self._rules.take(request)
        resource = self._site.route(request, self.files_origin)
        rules.spoil_resource(resource, struck)
        reply = evaluate(resource, request)
        rules.spoil_reply(reply, struck)
        reply.stops = self._rules.stops_for(request)
        return reply
