"""One request to the control socket and its answer, over a connection that is already made.

Each read is guarded, so that only the daemon's end is blamed, in one sentence with an exit code.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import select
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import msgspec

from pypicached.errors import AbsentError, ControlError
from pypicached.messages import ErrorAnswer

_Answer = TypeVar("_Answer")

# Exit codes of PRODUCT.md section 3.
FAILED: Final = 1
USAGE: Final = 2
NO_DAEMON: Final = 3
NOT_ALLOWED: Final = 4
_EXIT_CODES: Final = {400: USAGE, 403: NOT_ALLOWED}

_CHUNK_BYTES: Final = 256 * 1024
# A daemon that is well has begun its answer long before; asked about less and less often.
_FIRST_LOOK_SECONDS: Final = 2.5
_LONGEST_LOOK_SECONDS: Final = 10.0


class Silence(NamedTuple):
    """What is known of a daemon that does not answer; as it stands, nothing.

    `hopeless` says why no answer will come, `advice` where to look if none comes in time; one that
    is `starting` is waited for however long it takes.
    """

    hopeless: str = ""
    starting: bool = False
    advice: str = ""


# Explains the silence on a socket; may take some seconds, and tell the caller's user on its own.
Explain = Callable[[Path], Silence]


def know_nothing(_socket: Path) -> Silence:
    """Explain a silence to nobody."""
    return Silence()


class UnixConnection(http.client.HTTPConnection):
    """HTTP over an AF_UNIX socket that is already connected."""

    @classmethod
    def open(cls, path: Path, seconds: float) -> UnixConnection:
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


class Exchange:
    """One request and its answer; each read is guarded, so that only the daemon's end is blamed."""

    def __init__(
        self, connection: UnixConnection, where: Path, explain: Explain = know_nothing
    ) -> None:
        self._connection = connection
        self._where = where
        self._explain = explain
        self._advice = ""
        self._response: http.client.HTTPResponse | None = None

    def send(self, method: str, path: str, message: msgspec.Struct | None) -> None:
        """Ask; ControlError unless the answer is a 200."""
        body = None if message is None else msgspec.json.encode(message)
        headers = {} if body is None else {"Content-Type": "application/json"}
        with self._guarded(silent_code=NO_DAEMON), self._explained():
            self._connection.request(method, path, body, headers)
            self._wait()
            self._response = self._connection.getresponse()
        status = self._response.status
        if status != http.client.OK:
            refusal = self.body(ErrorAnswer).error
            if status == http.client.NOT_FOUND:
                raise AbsentError(refusal, FAILED)
            raise ControlError(refusal, _EXIT_CODES.get(status, FAILED))

    def _wait(self) -> None:
        """Return once the answer has begun, or the connection is over; TimeoutError, ControlError.

        The socket may be held open by systemd for a daemon that never comes: after a while of
        silence it is asked about, and what is hopeless is not waited for.
        """
        patience = self._connection.timeout
        assert isinstance(patience, float | int)
        poll = select.poll()
        poll.register(self._connection.sock, select.POLLIN)
        look, deadline = _FIRST_LOOK_SECONDS, time.monotonic() + patience
        while (left := deadline - time.monotonic()) > 0:
            if poll.poll(min(look, left) * 1000):
                return
            if left <= look:
                break
            silence = self._ask_why()
            if silence.starting:
                look, deadline = _FIRST_LOOK_SECONDS, time.monotonic() + patience
            else:
                look = min(look * 2, _LONGEST_LOOK_SECONDS)
        raise TimeoutError

    def _ask_why(self) -> Silence:
        silence = self._explain(self._where)
        if silence.hopeless:
            raise ControlError(silence.hopeless, NO_DAEMON)
        self._advice = silence.advice
        return silence

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Look once more why no answer came before that is blamed on the daemon; ControlError."""
        try:
            yield
        except (TimeoutError, ConnectionError):
            self._ask_why()
            raise

    def close(self) -> None:
        """Let go of the answer, read to its end or not."""
        if self._response is not None:
            self._response.close()

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

    def announced(self) -> int:
        """Return how many bytes the answer will have; ControlError if it does not say."""
        assert self._response is not None
        with self._guarded():
            if self._response.length is None:
                raise http.client.IncompleteRead(b"")
            return self._response.length

    def chunk(self) -> bytes:
        """Return the next bytes of an answer that is not yet over; ControlError if it was cut."""
        assert self._response is not None
        with self._guarded():
            chunk = self._response.read(_CHUNK_BYTES)
            if not chunk:
                raise http.client.IncompleteRead(b"")
            return chunk

    @contextlib.contextmanager
    def _guarded(self, silent_code: int = FAILED) -> Iterator[None]:
        try:
            yield
        except TimeoutError as error:
            seconds = self._connection.timeout
            sentence = f"the daemon at {self._where} said nothing for {seconds:g} s"
            if self._advice:
                sentence = f"{sentence}; {self._advice}"
            raise ControlError(sentence, silent_code) from error
        except msgspec.ValidationError as error:
            reason = f"the daemon at {self._where} answered what this command does not understand"
            raise ControlError(f"{reason}; after an upgrade restart it", FAILED) from error
        except (http.client.HTTPException, ConnectionError, msgspec.DecodeError) as error:
            sentence = f"the daemon at {self._where} stopped in the middle of its answer"
            raise ControlError(sentence, FAILED) from error
