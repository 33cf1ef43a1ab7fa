"""The commands' end of the control socket: synchronous, standard library only, quick to import.

Every failure becomes a `ControlError` with one sentence and the exit code of PRODUCT.md section 3;
nothing here prints.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from pypicached.errors import ControlError
from pypicached.messages import (
    ErrorAnswer,
    FileRow,
    InvalidateAnswer,
    InvalidateRequest,
    OfflineAnswer,
    OfflineRequest,
    Progress,
    ProjectRow,
    PruneAnswer,
    PruneLine,
    PruneRequest,
    Stats,
    Status,
)

_Answer = TypeVar("_Answer")

# Exit codes of PRODUCT.md section 3.
_FAILED: Final = 1
_USAGE: Final = 2
_NO_DAEMON: Final = 3
_NOT_ALLOWED: Final = 4
_EXIT_CODES: Final = {400: _USAGE, 403: _NOT_ALLOWED, 404: _FAILED}

_READ_SECONDS: Final = 30.0
# Between two progress lines; a huge delete may keep the disk busy that long.
_PROGRESS_SECONDS: Final = 60.0
_HOW_TO_START: Final = "start one with `pypicached serve`, or `systemctl start pypicached`"
_HOW_TO_JOIN: Final = (
    "only root and members of the group pypicached may connect (`usermod -aG pypicached USER`, "
    "then log in again)"
)


class ControlClient:
    """Asks the first of `sockets` that a daemon answers on; one connection per call, no state."""

    def __init__(
        self,
        sockets: list[Path],
        *,
        read_seconds: float = _READ_SECONDS,
        progress_seconds: float = _PROGRESS_SECONDS,
    ) -> None:
        self._sockets = sockets
        self._read_seconds = read_seconds
        self._progress_seconds = progress_seconds

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

    def invalidate(self, request: InvalidateRequest) -> InvalidateAnswer:
        """Have the next requests ask upstream; ControlError."""
        return self._ask("POST", "/invalidate", InvalidateAnswer, request)

    def offline(self, request: OfflineRequest) -> OfflineAnswer:
        """Stop or resume asking upstreams; ControlError."""
        return self._ask("POST", "/offline", OfflineAnswer, request)

    def prune(self, request: PruneRequest, on_progress: Callable[[Progress], None]) -> PruneAnswer:
        """Remove files, reporting on the way; ControlError.

        Whatever `on_progress` raises closes the connection, and the daemon then stops pruning.
        """
        with self._asked("POST", "/prune", self._progress_seconds, request) as exchange:
            while True:
                step = exchange.line(PruneLine)
                if step.error is not None:
                    raise ControlError(step.error, _FAILED)
                if step.result is not None:
                    return step.result
                if step.progress is not None:
                    on_progress(step.progress)

    def _ask(
        self, method: str, path: str, kind: type[_Answer], message: msgspec.Struct | None = None
    ) -> _Answer:
        with self._asked(method, path, self._read_seconds, message) as exchange:
            return exchange.body(kind)

    @contextlib.contextmanager
    def _asked(
        self, method: str, path: str, seconds: float, message: msgspec.Struct | None
    ) -> Iterator[_Exchange]:
        """Send a request and yield the exchange once its answer is known to be a 200."""
        connection, where = self._connect(seconds)
        with contextlib.closing(connection):
            exchange = _Exchange(connection, where)
            exchange.send(method, path, message)
            yield exchange

    def _connect(self, seconds: float) -> tuple[_UnixConnection, Path]:
        """Return a connection to the first daemon that answers and its socket; ControlError."""
        looked: list[str] = []
        denied: list[Path] = []
        for path in self._sockets:
            try:
                return _UnixConnection.open(path, seconds), path
            except PermissionError:
                denied.append(path)
            except OSError as error:
                looked.append(f"{path} ({_absence(error)})")
        if denied:
            places = " and ".join(map(str, denied))
            raise ControlError(f"not allowed to use {places}: {_who_may(denied[0])}", _NOT_ALLOWED)
        places = ", ".join(looked) or "nowhere: no socket is known"
        raise ControlError(f"no daemon answers, looked at {places}; {_HOW_TO_START}", _NO_DAEMON)


def _who_may(path: Path) -> str:
    """Say who may use a socket: a group where it is the service's, else only its owner."""
    try:
        if path.group() == "pypicached":
            return _HOW_TO_JOIN
        return f"it is the daemon of {path.owner()}; only that user and root may connect"
    except (OSError, KeyError):
        return _HOW_TO_JOIN


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over an AF_UNIX socket that is already connected."""

    @classmethod
    def open(cls, path: Path, seconds: float) -> _UnixConnection:
        """Connect; OSError if nobody accepts there."""
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            stream.settimeout(seconds)
            stream.connect(os.fsencode(path))
        except BaseException:
            stream.close()
            raise
        connection = cls("localhost", timeout=seconds)
        connection.sock = stream
        return connection


class _Exchange:
    """One request and its answer; each read is guarded, so that only the daemon's end is blamed."""

    def __init__(self, connection: _UnixConnection, where: Path) -> None:
        self._connection = connection
        self._where = where
        self._response: http.client.HTTPResponse | None = None

    def send(self, method: str, path: str, message: msgspec.Struct | None) -> None:
        """Ask; ControlError unless the answer is a 200."""
        body = None if message is None else msgspec.json.encode(message)
        headers = {} if body is None else {"Content-Type": "application/json"}
        with self._guarded(silent_code=_NO_DAEMON):
            self._connection.request(method, path, body, headers)
            self._response = self._connection.getresponse()
        status = self._response.status
        if status != http.client.OK:
            refusal = self.body(ErrorAnswer).error
            raise ControlError(refusal, _EXIT_CODES.get(status, _FAILED))

    def body(self, kind: type[_Answer]) -> _Answer:
        """Return the whole answer; ControlError if it was cut or is of another shape."""
        assert self._response is not None
        with self._guarded():
            return msgspec.json.decode(self._response.read(), type=kind)

    def line(self, kind: type[_Answer]) -> _Answer:
        """Return the next line of the answer; ControlError if there is none."""
        assert self._response is not None
        with self._guarded():
            # At the end of the body that is nothing, which is no JSON either.
            return msgspec.json.decode(self._response.readline(), type=kind)

    @contextlib.contextmanager
    def _guarded(self, silent_code: int = _FAILED) -> Iterator[None]:
        try:
            yield
        except TimeoutError as error:
            seconds = self._connection.timeout
            sentence = f"the daemon at {self._where} said nothing for {seconds:g} s"
            raise ControlError(sentence, silent_code) from error
        except msgspec.ValidationError as error:
            reason = f"the daemon at {self._where} answered what this command does not understand"
            raise ControlError(f"{reason}; after an upgrade restart it", _FAILED) from error
        except (http.client.HTTPException, ConnectionError, msgspec.DecodeError) as error:
            sentence = f"the daemon at {self._where} stopped in the middle of its answer"
            raise ControlError(sentence, _FAILED) from error


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
