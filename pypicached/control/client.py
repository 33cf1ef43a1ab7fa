"""The commands' end of the control socket: synchronous, standard library only, quick to import.

Every failure becomes a `ControlError` with one sentence and the exit code of PRODUCT.md section 3;
nothing here prints.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Protocol, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from pypicached.control.exchange import (
    FAILED,
    NO_DAEMON,
    NOT_ALLOWED,
    Exchange,
    Explain,
    UnixConnection,
    know_nothing,
)
from pypicached.errors import ControlError
from pypicached.messages import (
    Explanation,
    FileRow,
    InvalidateAnswer,
    InvalidateRequest,
    OfflineAnswer,
    OfflineRequest,
    PinAnswer,
    PinRequest,
    PinRow,
    Progress,
    ProjectRow,
    PruneAnswer,
    PrunedFile,
    PruneLine,
    PruneRequest,
    PruneStoreAnswer,
    PruneStoreLine,
    PruneStoreRequest,
    ReloadAnswer,
    RepairRequest,
    Stats,
    Status,
    VerifyAnswer,
    VerifyLine,
    WhoAnswer,
    WhoLine,
    WhoRow,
)
from pypicached.warm.messages import WarmAnswer, WarmLine, WarmRequest

_Answer = TypeVar("_Answer")

_READ_SECONDS: Final = 30.0
# Between two progress lines; a huge delete may keep the disk busy that long.
_PROGRESS_SECONDS: Final = 60.0
# The copy is made before its first byte leaves: so long for a ledger of many gigabytes.
_COPY_SECONDS: Final = 600.0
_HOW_TO_START: Final = "start one with `pypicached serve`, or `systemctl start pypicached`"
_HOW_TO_JOIN: Final = (
    "only root and members of the group pypicached may connect (`usermod -aG pypicached USER`, "
    "then log in again)"
)


class _Line(Protocol):
    """What the lines of all long work have in common."""

    progress: Progress | None
    error: str | None

    @property
    def result(self) -> object | None:
        """The answer, on the last line."""


_AnyLine = TypeVar("_AnyLine", bound=_Line)


class ControlClient:
    """Asks the first of `sockets` that a daemon answers on; one connection per call, no state.

    `explain` is asked about a socket that takes connections and does not answer.
    """

    def __init__(
        self,
        sockets: list[Path],
        *,
        read_seconds: float = _READ_SECONDS,
        progress_seconds: float = _PROGRESS_SECONDS,
        explain: Explain = know_nothing,
    ) -> None:
        self._sockets = sockets
        self._read_seconds = read_seconds
        self._progress_seconds = progress_seconds
        self._explain = explain

    def status(self) -> Status:
        """Return the state of the daemon; ControlError."""
        return self._ask("GET", "/status", Status)

    def stats(self, since_seconds: float, top: int) -> Stats:
        """Return the counters of the last `since_seconds`; ControlError."""
        query = urlencode({"since_seconds": since_seconds, "top": top})
        return self._ask("GET", f"/stats?{query}", Stats)

    def list_projects(self, sort: str) -> list[ProjectRow]:
        """Return what is cached, a row per project, by `size`, `used` or `hits`; ControlError."""
        return self._ask("GET", f"/list?{urlencode({'sort': sort})}", list[ProjectRow])

    def list_files(self, project: str, sort: str) -> list[FileRow]:
        """Return the cached files of a project; ControlError, also if there is none."""
        path = f"/list/{quote(project, safe='')}?{urlencode({'sort': sort})}"
        return self._ask("GET", path, list[FileRow])

    def explain(self, requirement: str) -> Explanation:
        """Return what is served of a project, and why the rest is not; ControlError."""
        return self._ask("GET", f"/explain/{quote(requirement, safe='')}", Explanation)

    def who(
        self, requirement: str | None, client: str | None, since: float, *, refused: bool
    ) -> tuple[list[WhoRow], WhoAnswer]:
        """Return who fetched what (or was refused it), and since when that is all; ControlError.

        `since` is seconds since the epoch; a `client` is an address, a network or "unix".
        """
        asked = {"requirement": requirement, "client": client, "since": since}
        asked["refused"] = "1" if refused else None
        query = urlencode({name: value for name, value in asked.items() if value})
        rows: list[WhoRow] = []

        def take(line: WhoLine) -> None:
            rows.extend(line.part or ())

        answer = self._follow("GET", f"/who?{query}", WhoLine, None, take).result
        assert answer is not None
        return rows, answer

    def invalidate(self, request: InvalidateRequest) -> InvalidateAnswer:
        """Have the next requests ask upstream; ControlError."""
        return self._ask("POST", "/invalidate", InvalidateAnswer, request)

    def offline(self, request: OfflineRequest) -> OfflineAnswer:
        """Stop or resume asking upstreams; ControlError."""
        return self._ask("POST", "/offline", OfflineAnswer, request)

    def reload(self) -> ReloadAnswer:
        """Have the configuration read again; ControlError. With problems nothing changed."""
        return self._ask("POST", "/reload", ReloadAnswer)

    def pins(self) -> list[PinRow]:
        """Return all pins; ControlError."""
        return self._ask("GET", "/pins", list[PinRow])

    def pin(self, requirements: list[str]) -> PinAnswer:
        """Hold what these requirements mean; ControlError."""
        return self._ask("POST", "/pin", PinAnswer, PinRequest(requirements))

    def unpin(self, requirements: list[str]) -> PinAnswer:
        """Let go of it; ControlError."""
        return self._ask("POST", "/unpin", PinAnswer, PinRequest(requirements))

    def prune(self, request: PruneRequest, on_progress: Callable[[Progress], None]) -> PruneAnswer:
        """Remove files, reporting on the way; ControlError.

        Whatever `on_progress` raises closes the connection, and the daemon then stops pruning.
        """
        files: list[PrunedFile] = []

        def take(line: PruneLine) -> None:
            files.extend(line.part or ())
            _show(line, on_progress)

        answer = self._follow("POST", "/prune", PruneLine, request, take).result
        assert answer is not None
        answer.files[:0] = files
        return answer

    def prune_store(
        self, request: PruneStoreRequest, on_progress: Callable[[Progress], None]
    ) -> PruneStoreAnswer:
        """Remove files from the shared store, reporting on the way; ControlError.

        Whatever `on_progress` raises closes the connection, and the daemon then stops pruning.
        """

        def take(line: PruneStoreLine) -> None:
            _show(line, on_progress)

        answer = self._follow("POST", "/prune/store", PruneStoreLine, request, take).result
        assert answer is not None
        return answer

    def verify(
        self, projects: list[str], *, repair: bool, on_progress: Callable[[Progress], None]
    ) -> VerifyAnswer:
        """Have the files of projects (none: all) read through, reporting on the way; ControlError.

        Whatever `on_progress` raises closes the connection, and the daemon then stops verifying.
        """
        method, path, request = "POST", "/repair", RepairRequest(projects) if repair else None
        if request is None:
            query = urlencode([("project", project) for project in projects])
            method, path = "GET", f"/verify?{query}"

        def take(line: VerifyLine) -> None:
            _show(line, on_progress)

        answer = self._follow(method, path, VerifyLine, request, take).result
        assert answer is not None
        return answer

    def warm(self, request: WarmRequest, on_progress: Callable[[Progress], None]) -> WarmAnswer:
        """Have everything cached that was asked for, reporting on the way; ControlError.

        Whatever `on_progress` raises closes the connection, and the daemon then stops the job.
        """

        # Pinning is for others than warming.
        path = "/warm/pinned" if request.pin else "/warm"

        def take(line: WarmLine) -> None:
            _show(line, on_progress)

        answer = self._follow("POST", path, WarmLine, request, take).result
        assert answer is not None
        return answer

    def backup(
        self, write: Callable[[bytes], object], on_progress: Callable[[Progress], None]
    ) -> int:
        """Hand a copy of the ledger to `write`, piece by piece; return its bytes; ControlError.

        What `write` raises passes, and the daemon is left alone.
        """
        with self._asked("POST", "/backup", _COPY_SECONDS, None) as exchange:
            whole = exchange.announced()
            received = 0
            while received < whole:
                chunk = exchange.chunk()
                write(chunk)
                received += len(chunk)
                on_progress(Progress(received, whole))
            return received

    def _follow(
        self,
        method: str,
        path: str,
        kind: type[_AnyLine],
        message: msgspec.Struct | None,
        take: Callable[[_AnyLine], None],
    ) -> _AnyLine:
        """Give each line of long work to `take`; return the last one, which has its result."""
        with self._asked(method, path, self._progress_seconds, message) as exchange:
            while True:
                line = exchange.line(kind)
                if line.error is not None:
                    raise ControlError(line.error, FAILED)
                take(line)
                if line.result is not None:
                    return line

    def _ask(
        self, method: str, path: str, kind: type[_Answer], message: msgspec.Struct | None = None
    ) -> _Answer:
        with self._asked(method, path, self._read_seconds, message) as exchange:
            return exchange.body(kind)

    @contextlib.contextmanager
    def _asked(
        self, method: str, path: str, seconds: float, message: msgspec.Struct | None
    ) -> Iterator[Exchange]:
        """Send a request and yield the exchange once its answer is known to be a 200."""
        connection, where = self._connect(seconds)
        exchange = Exchange(connection, where, self._explain)
        # In this order: an answer without a length holds the socket after its connection.
        with contextlib.closing(exchange), contextlib.closing(connection):
            exchange.send(method, path, message)
            yield exchange

    def _connect(self, seconds: float) -> tuple[UnixConnection, Path]:
        """Return a connection to the first daemon that answers and its socket; ControlError."""
        looked: list[str] = []
        denied: list[Path] = []
        for path in self._sockets:
            try:
                return UnixConnection.open(path, seconds), path
            except PermissionError:
                denied.append(path)
            except OSError as error:
                looked.append(f"{path} ({_absence(error)})")
        if denied:
            places = " and ".join(map(str, denied))
            raise ControlError(f"not allowed to use {places}: {_who_may(denied[0])}", NOT_ALLOWED)
        places = ", ".join(looked) or "nowhere: no socket is known"
        raise ControlError(f"no daemon answers, looked at {places}; {_HOW_TO_START}", NO_DAEMON)


def _show(line: _Line, on_progress: Callable[[Progress], None]) -> None:
    if line.progress is not None:
        on_progress(line.progress)


def _who_may(path: Path) -> str:
    """Say who may use a socket: a group where it is the service's, else only its owner."""
    try:
        if path.group() == "pypicached":
            return _HOW_TO_JOIN
        return f"it is the daemon of {path.owner()}; only that user and root may connect"
    except (OSError, KeyError):
        return _HOW_TO_JOIN


def _absence(error: OSError) -> str:
    """Return why nobody answers on a socket, in a few words."""
    match error.errno:
        case errno.ENOENT | errno.ENOTDIR:
            return "no such socket"
        case errno.ECONNREFUSED:
            return "left behind, nobody listens"
        case errno.EAGAIN | errno.ETIMEDOUT:
            return "does not accept connections"
        case _:
            return (error.strerror or str(error)).lower()
