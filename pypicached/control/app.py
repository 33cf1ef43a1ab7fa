"""Handlers of the control socket: typed messages in, one call to what is behind, messages out.

It decides nothing about the cache and knows nothing of how the socket came to be. Rights are
checked before a handler runs, from the kernel's word about the caller (`rights`).
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import msgspec
from aiohttp import web

from pypicached.cache.store_pruning import LEAST_DAYS
from pypicached.control.copies import send_copy
from pypicached.control.lines import send_lines
from pypicached.control.listings import send_rows
from pypicached.control.rights import Rights, own_rights, peer_uid
from pypicached.errors import NotFoundError, PypicachedError, clean
from pypicached.history import EVERYBODY, Question, parse_clients
from pypicached.messages import (
    ErrorAnswer,
    InvalidateRequest,
    OfflineRequest,
    PinRequest,
    PruneRequest,
    PruneStoreRequest,
    ReloadAnswer,
    RepairRequest,
)
from pypicached.requirement import Requirement, parse_requirement
from pypicached.warm.messages import WarmRequest
from pypicached.warm.names import parse_targets

if TYPE_CHECKING:
    from pypicached.explaining import Explaining
    from pypicached.history import History
    from pypicached.keeping import Keeping
    from pypicached.operations import Operations
    from pypicached.warm.warming import Warming

_log = logging.getLogger(__name__)
_Request = TypeVar("_Request", bound=msgspec.Struct)
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_SORTS: Final = ("size", "used", "hits")
_DAY_SECONDS: Final = 86_400.0
# Enough for a screen or a report; more would be the whole ledger in one answer.
_MAX_TOP: Final = 1000
# The largest lock files that were met have 6 MB; decoding 16 MiB holds up others for 80 ms.
MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024
_INTERNAL: Final = "something went wrong inside the daemon; its log has the details"


class _UsageError(Exception):
    """The message is well-formed HTTP but asks for nothing sensible: 400."""


class Services(NamedTuple):
    """What stands behind the control socket."""

    operations: Operations
    keeping: Keeping
    explaining: Explaining
    history: History
    warming: Warming
    reload: Callable[[], Awaitable[ReloadAnswer]]


def build_app(services: Services, *, readers_gid: int | None) -> web.Application:
    """Return the application for the control socket.

    `readers_gid` is the group whose members may read, warm and invalidate; None: nobody but root
    and the daemon's own user may do anything.
    """
    rights = own_rights(readers_gid)

    # aiohttp calls it with these two; the closure keeps the rights out of the handlers' reach.
    @web.middleware
    async def guard(request: web.Request, handler: _Handler) -> web.StreamResponse:
        return await _guarded(request, handler, rights)

    app = web.Application(middlewares=[guard], client_max_size=MAX_MESSAGE_BYTES)
    handlers = _Handlers(services)
    app.add_routes(
        [
            web.get("/status", handlers.status),
            web.get("/stats", handlers.stats),
            web.get("/list", handlers.list_projects),
            web.get("/list/{project}", handlers.list_files),
            web.get("/explain/{requirement}", handlers.explain),
            web.post("/warm", handlers.warm),
            web.post("/warm/pinned", handlers.warm),
            web.get("/who", handlers.who),
            web.post("/prune", handlers.prune),
            web.post("/prune/store", handlers.prune_store),
            web.post("/invalidate", handlers.invalidate),
            web.post("/offline", handlers.offline),
            web.post("/reload", handlers.reload),
            web.get("/verify", handlers.verify),
            web.post("/repair", handlers.repair),
            web.post("/backup", handlers.backup),
            web.get("/pins", handlers.pins),
            web.post("/pin", handlers.pin),
            web.post("/unpin", handlers.unpin),
        ]
    )
    return app


class _Handlers:
    """One method per row of the table in `api`; stateless beside its operations."""

    def __init__(self, services: Services) -> None:
        self._operations = services.operations
        self._keeping = services.keeping
        self._explaining = services.explaining
        self._history = services.history
        self._warming = services.warming
        self._reload = services.reload

    async def status(self, _: web.Request) -> web.Response:
        return _json(await self._operations.status())

    async def stats(self, request: web.Request) -> web.Response:
        since_seconds = _number(request, "since_seconds", _DAY_SECONDS)
        top = int(_number(request, "top", 10))
        if top > _MAX_TOP:
            raise _UsageError(f"top is at most {_MAX_TOP}")
        return _json(await self._operations.stats(since_seconds, top))

    async def list_projects(self, request: web.Request) -> web.StreamResponse:
        return await send_rows(request, await self._operations.list_projects(_sort(request)))

    async def list_files(self, request: web.Request) -> web.StreamResponse:
        project = request.match_info["project"]
        rows = await self._operations.list_files(project, _sort(request))
        return await send_rows(request, rows)

    async def who(self, request: web.Request) -> web.StreamResponse:
        question = _question(request)
        # Who looked into what others install can be told, too.
        asked = clean(request.query_string, limit=500)
        _log.info("uid %d: who %s", _uid(request), asked)
        return await send_lines(request, self._history.who(question), _sentence)

    async def explain(self, request: web.Request) -> web.Response:
        try:
            asked = parse_requirement(request.match_info["requirement"])
        except ValueError as error:
            raise _UsageError(str(error)) from None
        return _json(await self._explaining.explain(asked))

    async def invalidate(self, request: web.Request) -> web.Response:
        message = await _message(request, InvalidateRequest)
        _check_invalidate(message)
        _log_change(request, "invalidate", message)
        return _json(await self._keeping.invalidate(message))

    async def offline(self, request: web.Request) -> web.Response:
        message = await _message(request, OfflineRequest)
        _log_change(request, "offline", message)
        return _json(self._operations.set_offline(message))

    async def reload(self, request: web.Request) -> web.Response:
        _log_change(request, "reload")
        return _json(await self._reload())

    async def prune(self, request: web.Request) -> web.StreamResponse:
        message = await _message(request, PruneRequest)
        _check_prune(message)
        _log_change(request, "prune", message)
        return await send_lines(request, self._keeping.prune(message), _sentence)

    async def prune_store(self, request: web.Request) -> web.StreamResponse:
        message = await _message(request, PruneStoreRequest)
        if not math.isfinite(message.days) or message.days < LEAST_DAYS:
            raise _UsageError(
                f"days are at least {LEAST_DAYS:.0f}: hosts renew what they use once a day"
            )
        _log_change(request, "prune --store", message)
        return await send_lines(request, self._keeping.prune_store(message), _sentence)

    async def verify(self, request: web.Request) -> web.StreamResponse:
        work = self._keeping.verify(request.query.getall("project", []), repair=False)
        return await send_lines(request, work, _sentence)

    async def repair(self, request: web.Request) -> web.StreamResponse:
        message = await _message(request, RepairRequest)
        _log_change(request, "repair", message)
        work = self._keeping.verify(message.projects, repair=True)
        return await send_lines(request, work, _sentence)

    async def warm(self, request: web.Request) -> web.StreamResponse:
        message = await _message(request, WarmRequest)
        try:
            parse_targets(message)
        except ValueError as error:
            raise _UsageError(str(error)) from None
        if message.pin != (request.path == "/warm/pinned"):
            raise _UsageError("what is to be pinned is asked for at /warm/pinned, and only that")
        asked = message.inputs
        what = f"{len(asked.wishes)} requirements, {len(asked.locked)} locked packages"
        _log.info("uid %d: warm (%s): %s", _uid(request), message.mode, what)
        return await send_lines(request, self._warming.run(message), _sentence)

    async def backup(self, request: web.Request) -> web.StreamResponse:
        _log_change(request, "backup")
        async with self._keeping.backup() as copy:
            return await send_copy(request, copy)

    async def pins(self, _: web.Request) -> web.Response:
        return _json(await self._keeping.pins())

    async def pin(self, request: web.Request) -> web.Response:
        return _json(await self._keeping.pin(await _rules(request, "pin")))

    async def unpin(self, request: web.Request) -> web.Response:
        return _json(await self._keeping.unpin(await _rules(request, "unpin")))


async def _guarded(request: web.Request, handler: _Handler, rights: Rights) -> web.StreamResponse:
    try:
        refusal = rights.refusal(_uid(request), request.method, request.path)
        if refusal is not None:
            _log.warning("uid %d refused: %s", _uid(request), refusal)
            return _error(403, refusal)
        return await handler(request)
    except web.HTTPRequestEntityTooLarge:
        return _error(400, f"that is more than {MAX_MESSAGE_BYTES // 1024**2} MiB at once")
    except web.HTTPException as answer:
        reason = f"this daemon knows no {clean(request.method)} {clean(request.path)}"
        return _error(answer.status, reason if answer.status in (404, 405) else answer.reason)
    except (ConnectionError, asyncio.CancelledError):
        raise
    except Exception as error:  # noqa: BLE001 - the outermost edge: logged and told
        return _error(*_explain(error))


def _explain(error: Exception) -> tuple[int, str]:
    """Return the status and the sentence for an error; what nobody meant is logged in full."""
    match error:
        case _UsageError():
            return 400, str(error)
        case NotFoundError():
            return 404, str(error)
        case PypicachedError():
            _log.warning("control: %s", error)
            return 500, str(error)
        case _:
            _log.error("control: unexpected error", exc_info=error)
            return 500, _INTERNAL


def _sentence(error: Exception) -> str:
    return _explain(error)[1]


def _uid(request: web.Request) -> int:
    connection = request.get_extra_info("socket")
    if connection is None:
        raise ConnectionResetError("the caller is gone")
    return peer_uid(connection)


def _log_change(request: web.Request, command: str, message: msgspec.Struct | None = None) -> None:
    asked = "" if message is None else clean(msgspec.json.encode(message).decode(), limit=500)
    _log.info("uid %d: %s %s", _uid(request), command, asked)


async def _message(request: web.Request, kind: type[_Request]) -> _Request:
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _UsageError(f"not a {kind.__name__}: {clean(str(error))}") from error


def _check_prune(message: PruneRequest) -> None:
    if (message.days is None) == (message.to_size_bytes is None):
        raise _UsageError("give exactly one of days and to_size_bytes")
    amount = message.days if message.days is not None else message.to_size_bytes
    if amount is None or amount < 0 or not math.isfinite(amount):
        raise _UsageError("days and to_size_bytes are at least 0")


def _check_invalidate(message: InvalidateRequest) -> None:
    asked = (bool(message.projects), message.project_list, message.everything)
    if sum(asked) != 1:
        raise _UsageError("give exactly one of projects, project_list and everything")
    if message.project_list and message.files:
        raise _UsageError("the project list has no files; leave --files off")


async def _rules(request: web.Request, command: str) -> list[Requirement]:
    """Return the rules that a change is about, each once, and log it."""
    message = await _message(request, PinRequest)
    if not message.requirements:
        raise _UsageError("give at least one requirement")
    try:
        rules = [parse_requirement(text) for text in message.requirements]
    except ValueError as error:
        raise _UsageError(str(error)) from None
    _log_change(request, command, message)
    return list(dict.fromkeys(rules))


def _question(request: web.Request) -> Question:
    query = request.query
    try:
        return Question(
            requirement=parse_requirement(text) if (text := query.get("requirement")) else None,
            clients=parse_clients(text) if (text := query.get("client")) else EVERYBODY,
            since=_number(request, "since", 0.0),
            refused=query.get("refused") == "1",
        )
    except ValueError as error:
        raise _UsageError(str(error)) from None


def _sort(request: web.Request) -> str:
    sort = request.query.get("sort", "size")
    if sort not in _SORTS:
        raise _UsageError(f"sort is one of {', '.join(_SORTS)}")
    return sort


def _number(request: web.Request, name: str, default: float) -> float:
    try:
        value = float(request.query.get(name, default))
    except ValueError as error:
        raise _UsageError(f"{name} is not a number") from error
    if not math.isfinite(value) or value < 0:
        raise _UsageError(f"{name} is at least 0")
    return value


def _json(answer: Any) -> web.Response:
    return web.Response(body=msgspec.json.encode(answer), content_type="application/json")


def _error(status: int, sentence: str) -> web.Response:
    body = msgspec.json.encode(ErrorAnswer(sentence))
    return web.Response(status=status, body=body, content_type="application/json")
