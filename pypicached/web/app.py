"""The public listener: from a raw target to a handler, and from an error to its answer.

Dispatch is on the raw target, segment by segment, below aiohttp's own routing: that decodes paths,
and costs a sixth of the requests a second. This is the only place that maps errors to answers,
gives requests their ids, and writes the access log.
"""

from __future__ import annotations

import array
import fcntl
import itertools
import logging
import secrets
import termios
import time
from collections.abc import Awaitable, Callable, Collection
from typing import Any, cast

from aiohttp import HttpVersion10, web
from aiohttp.http_parser import HttpRequestParser, RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler

from pypicached.errors import (
    ClientRefusedError,
    NotFoundError,
    PypicachedError,
    RefusedError,
    UpstreamPausedError,
    clean,
)
from pypicached.ledger import Audit
from pypicached.logs import event
from pypicached.simple.urls import filename_of
from pypicached.web.admission import Admission, Connection
from pypicached.web.at_once import Parser, is_plain, written
from pypicached.web.errors import Reply, build_reply, reply_of
from pypicached.web.exchange import SERVER, Asked, ClientGoneError, Exchange, Whole
from pypicached.web.files import FileHandler
from pypicached.web.lists import ListPages
from pypicached.web.metrics import Metrics
from pypicached.web.people import PeoplePages
from pypicached.web.sending import PIECE_BYTES, cut_off, send_body
from pypicached.web.simple import SimplePages, redirect
from pypicached.web.sweep import Sweep

logger = logging.getLogger(__name__)
access_logger = logging.getLogger("pypicached.access")

METHODS = ("GET", "HEAD")
METHOD_HELP = (
    "this cache is read only: use `pypicached invalidate` or `pypicached prune` on its host, "
    "and upload to the index itself"
)


class PublicApp:
    """The handler of every public request."""

    def __init__(
        self,
        *,
        pages: SimplePages,
        lists: ListPages,
        files: FileHandler,
        people: PeoplePages,
        metrics: Metrics,
        audit: Audit,
        indexes: Collection[str],
        admission: Admission,
        sweep: Sweep,
        access_log: bool,
    ) -> None:
        self._pages = pages
        self._lists = lists
        self._files = files
        self._metrics = metrics
        self._audit = audit
        self._admission = admission
        self.apply(indexes, access_log=access_log)
        self._sweep = sweep
        self._boot = secrets.token_hex(3)
        self._numbers = itertools.count(1)
        # Set while stopping: every further answer asks its client to come back on a new connection.
        self.draining = False
        self.active = 0
        self._single: dict[str, Callable[[Exchange], Awaitable[web.StreamResponse]]] = {
            "": people.status,
            "healthz": people.healthz,
            "readyz": people.readyz,
            "metrics": people.metrics,
        }

    def apply(self, indexes: Collection[str], *, access_log: bool) -> None:
        """Have these indexes, from the next request on, and log or not."""
        self._indexes = frozenset(indexes)
        self._access_log = access_log
        # Who asks is looked up at once, also for the log of a request that its client gives up.
        self._looks = access_log or self._admission.limited

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        began = time.perf_counter()
        request_id = f"{self._boot}-{next(self._numbers):x}"
        exchange = Exchange(request, request_id, self._admission.find, closing=self.draining)
        self.active += 1
        self._sweep.began(request)
        try:
            response = await self._answer(exchange)
            if not response.prepared:
                exchange.sign(response)
            return response
        finally:
            self.active -= 1
            self._sweep.ended(request)
            seconds = time.perf_counter() - began
            self._metrics.observe(exchange.kind, seconds)
            if self._access_log:
                self._log(exchange, seconds)

    def at_once(self, connection: Connection, message: RawRequestMessage) -> bytes | None:
        """Return the whole answer to a plain request, if memory has it.

        None if it takes more than that; nothing has been counted then.
        """
        if self.draining:
            return None
        began = time.perf_counter()
        asked = Asked(
            message.method,
            message.path,
            message.headers,
            f"{self._boot}-{next(self._numbers):x}",
            connection,
            self._admission.find,
        )
        if asked.closing or (self._looks and not asked.client.admitted):
            return None
        try:
            whole = self._at_hand(asked)
        except PypicachedError:
            return None  # which is met again where it is told
        if whole is None:
            return None
        self._sweep.answered(connection)
        seconds = time.perf_counter() - began
        self._metrics.observe(asked.kind, seconds)
        if self._access_log:
            self._log(asked, seconds)
        return written(asked, whole)

    def _at_hand(self, asked: Asked) -> Whole | None:
        match asked.path[1:].split("/"):
            case ["simple", project, ""] if project:
                return self._pages.at_hand(asked, project, None)
            case ["files", index, host, *rest] if rest:
                return self._files.at_hand(asked, index, "/".join([host, *rest]))
            case [index, "simple", project, ""] if project and index in self._indexes:
                return self._pages.at_hand(asked, project, index)
        return None

    async def _answer(self, exchange: Exchange) -> web.StreamResponse:
        request = exchange.request
        try:
            if self._looks:
                self._admission.check(exchange.client)
            _check_version(request)
            self._admission.enter(request.headers)
            if request.method not in METHODS:
                reply = Reply(405, METHOD_HELP, headers={"Allow": ", ".join(METHODS)})
                return build_reply(reply, exchange.id)
            return await self._sent(exchange, await self._dispatch(exchange))
        except PypicachedError as error:
            return self._refused(exchange, error)
        except ClientGoneError:
            cut_off(request)
            return web.Response(status=499, reason="client gone")
        except Exception as error:  # noqa: BLE001 - the last seam: logged, and told to the client
            return self._failed(exchange, error)

    async def _sent(self, exchange: Exchange, response: web.StreamResponse) -> web.StreamResponse:
        """Send a large body here and now; aiohttp sends a small one when we have returned."""
        if isinstance(response, web.Response) and _length(response) > PIECE_BYTES:
            return await send_body(exchange, response)
        return response

    def _refused(self, exchange: Exchange, error: PypicachedError) -> web.Response:
        reply = reply_of(error)
        if isinstance(error, RefusedError):
            self._metrics.refused(error.rule)
            self._remember(exchange, error)
        if reply.status >= 500:
            # Of an upstream that is left alone, the log has told when it went, and why.
            known = isinstance(error, UpstreamPausedError)
            event(
                logger,
                logging.DEBUG if known else logging.WARNING,
                f"answered {reply.status}: {reply.text}",
                request=exchange.id,
                path=clean(exchange.path),
            )
        return build_reply(reply, exchange.id)

    def _remember(self, exchange: Exchange, error: RefusedError) -> None:
        """Note who was refused what; a client that may not connect has asked for nothing."""
        if isinstance(error, ClientRefusedError):
            # It has no business with the connection, either.
            exchange.closing = True
        elif error.project:
            filename = filename_of(exchange.file_key)
            client, agent = exchange.client.address, exchange.agent
            self._audit.refused(client, agent, exchange.index, error.project, filename)

    def _failed(self, exchange: Exchange, error: Exception) -> web.Response:
        """An error of this host: told if nothing was sent yet, else never a short body as whole."""
        if not isinstance(error, ConnectionError):
            logger.error("request %s failed", exchange.id, exc_info=error)
        if exchange.begun:
            cut_off(exchange.request)
        reply = Reply(500, "this host failed to answer; see the daemon's log")
        return build_reply(reply, exchange.id)

    async def _dispatch(self, exchange: Exchange) -> web.StreamResponse:
        segments = exchange.path[1:].split("/")
        first = segments[0]
        if first == "simple":
            return await self._simple(exchange, segments[1:], None)
        if first == "files" and len(segments) > 3:
            return await self._files.handle(exchange, segments[1], "/".join(segments[2:]))
        if first == "index":
            rest = "/".join(segments[1:])
            return redirect(exchange, f"{exchange.up or './'}simple/{rest}", 301)
        if first in self._indexes and segments[1:2] == ["simple"]:
            return await self._simple(exchange, segments[2:], first)
        if len(segments) == 1 and first in self._single:
            return await self._single[first](exchange)
        if first == "pypi" or segments[-1] == "json":
            raise NotFoundError("only the Simple API is served here: see /simple/")
        raise NotFoundError("there is nothing here; the index is at /simple/")

    async def _simple(
        self, exchange: Exchange, rest: list[str], index: str | None
    ) -> web.StreamResponse:
        match rest:
            case []:
                return redirect(exchange, "simple/", 301)
            case [""]:
                return await self._lists.handle(exchange, index)
            case [name, ""]:
                return await self._pages.page(exchange, name, index)
            case [name]:
                return self._pages.with_slash(exchange, name)
            case [name, filename]:
                return await self._pages.file(exchange, name, filename, index)
        raise NotFoundError("there is nothing here; the index is at /simple/")

    def _log(self, exchange: Asked, seconds: float) -> None:
        event(
            access_logger,
            logging.INFO,
            f"{exchange.method} {clean(exchange.path)}",
            request=exchange.id,
            client=exchange.client.address,
            kind=exchange.kind,
            result=exchange.result,
            ms=round(seconds * 1000, 1),
        )


def _check_version(request: web.BaseRequest) -> None:
    """Break off with a client of HTTP/0.9: that has no status line which could say no."""
    if request.version < HttpVersion10:
        raise ClientGoneError


def _length(response: web.Response) -> int:
    body = response.body
    return len(body) if isinstance(body, bytes) else 0


# For the rest of a head, where its connection is to be closed: some round trips, a lost packet.
REST_SECONDS = 2.0


def close_if_idle(connection: RequestHandler) -> bool:
    """Close a connection of a `PublicServer` that waits for a request, unless one has arrived."""
    assert isinstance(connection, _Connection)
    return connection.close_if_idle()


class PublicServer(web.Server):
    """aiohttp's server of one `PublicApp`, but for what it says to bytes that are no request."""

    def __call__(self) -> RequestHandler:
        """Return the protocol of one connection."""
        assert isinstance(self.request_handler, PublicApp)
        return _Connection(self.request_handler, self, loop=self._loop, **self._kwargs)


def _unread_bytes(descriptor: int) -> int:
    """Return how much the kernel holds for us to read (tcp(7), unix(7): SIOCINQ)."""
    waiting = array.array("i", [0])
    fcntl.ioctl(descriptor, termios.FIONREAD, waiting)
    return waiting[0]


class _Connection(Connection):
    """One connection, where aiohttp would do otherwise.

    It would quote bytes that are no request to their sender, and log a traceback for each.
    """

    __slots__ = ("_app", "_heads")

    def __init__(self, app: PublicApp, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._app = app
        parser = self._parser
        assert isinstance(parser, HttpRequestParser)
        # It has all that aiohttp asks of one, and cannot be of a class written in C.
        self._heads = Parser(parser, self._offer)
        self._parser = cast(HttpRequestParser, self._heads)

    def _offer(self, message: RawRequestMessage, payload: StreamReader) -> bool:
        """Answer a request at once, if that is possible and its turn has come."""
        transport, waiter = self.transport, self._waiter
        if (
            # Else aiohttp is at an earlier request, or has not begun.
            waiter is None
            or waiter.done()
            or self._messages
            or not is_plain(message, payload)
            # A client that does not read gets nothing more written for it.
            or transport is None
            or transport.get_write_buffer_size()
        ):
            return False
        answer = self._app.at_once(self, message)
        if answer is None:
            return False
        transport.write(answer)
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        return True

    def connection_lost(self, exc: BaseException | None) -> None:
        """End what aiohttp would wait for in vain, and for 10 s: the rest of a request's body."""
        task = None if self._request_in_progress else self._task_handler
        super().connection_lost(exc)
        if task is not None:
            task.cancel()

    def close_if_idle(self) -> bool:
        """Close unless a request is being answered, or has arrived, be it unread by us.

        One that has begun to arrive is given a little time.
        """
        transport, waiter = self.transport, self._waiter
        if transport is None or transport.is_closing():
            return False
        if waiter is None or waiter.done() or self._messages:
            return False
        if _unread_bytes(transport.get_extra_info("socket").fileno()):
            return False
        begun_at = self._heads.begun_at
        if begun_at is not None and time.monotonic() - begun_at < REST_SECONDS:
            return False
        self.force_close()
        return True

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if status >= 500 or request.writer.output_size > 0:
            return super().handle_error(request, status, exc, message)
        request_id = secrets.token_hex(4)
        event(
            logger,
            logging.DEBUG,
            f"answered {status} to what is no request: {type(exc).__name__}",
            request=request_id,
            client=request.remote,
        )
        response = build_reply(Reply(status, "this is no request that HTTP knows"), request_id)
        response.headers.update({"X-Request-Id": request_id, "Server": SERVER})
        response.force_close()
        return response
