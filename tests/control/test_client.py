"""The commands' end of the socket: typed answers, and a sentence and a code for each failure."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from pypicached.control.client import ControlClient
from pypicached.errors import ControlError, LedgerError
from pypicached.messages import (
    InvalidateRequest,
    Progress,
    PruneAnswer,
    PruneRequest,
)
from tests.control.daemon import PRUNED, STATUS, FakeOperations

_PRUNE = PruneRequest(days=1)
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n"
_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
_PROGRESS = b'1c\r\n{"progress":{"done":1,"total":2}}\n\r\n'.replace(b"1c", b"22")


def _ignore(_: Progress) -> None:
    pass


@contextlib.contextmanager
def _peer(path: Path, answer: bytes | None) -> Iterator[Path]:
    """Listen at `path`; read a request, send `answer` and close. None: accept and stay silent."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    done = threading.Event()

    def speak() -> None:
        stream, _ = listener.accept()
        with stream:
            stream.recv(65536)
            if answer is None:
                done.wait(30)
            else:
                stream.sendall(answer)

    thread = threading.Thread(target=speak)
    thread.start()
    try:
        yield path
    finally:
        done.set()
        thread.join(30)
        listener.close()


def test_client__status(control_socket: Path) -> None:
    """A status arrives as it was given, typed."""
    assert ControlClient([control_socket]).status() == STATUS


def test_client__arguments(control_socket: Path, operations: FakeOperations) -> None:
    """What is asked reaches the operations unchanged."""
    client = ControlClient([control_socket])
    client.stats(60.0, 5)
    client.list_projects("hits")
    client.list_files("demo", "used")
    client.invalidate(InvalidateRequest(projects=["demo"]))
    asked = [(60.0, 5), "hits", ("demo", "used"), InvalidateRequest(projects=["demo"])]
    assert operations.asked == asked


def test_client__prune(control_socket: Path) -> None:
    """A prune reports each step and returns the result."""
    steps: list[Progress] = []
    answer = ControlClient([control_socket]).prune(_PRUNE, steps.append)
    assert (steps, answer) == ([Progress(1, 2, "demo")], PRUNED)


def test_client__first_socket_that_answers(tmp_path: Path, control_socket: Path) -> None:
    """Sockets are tried in order; the absent ones are passed over."""
    assert ControlClient([tmp_path / "none.sock", control_socket]).status() == STATUS


def test_client__no_daemon(tmp_path: Path) -> None:
    """Where nobody answers it says where it looked, why not, and how to start one: code 3."""
    left_behind = tmp_path / "left.sock"
    with socket.socket(socket.AF_UNIX) as stream:
        stream.bind(str(left_behind))
    with pytest.raises(ControlError) as caught:
        ControlClient([tmp_path / "none.sock", left_behind]).status()
    sentence = str(caught.value)
    assert caught.value.exit_code == 3
    assert f"{tmp_path}/none.sock (no such socket)" in sentence
    assert f"{left_behind} (left behind, nobody listens)" in sentence
    assert "`pypicached serve`" in sentence
    assert "`systemctl start pypicached`" in sentence


@pytest.mark.parametrize("name", ["x" * 200, "file/control.sock"])
def test_client__path_that_is_no_socket(tmp_path: Path, name: str) -> None:
    """A path that cannot be a socket is a place without a daemon, not a traceback."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ControlError) as caught:
        ControlClient([tmp_path / name]).status()
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200", _HEAD, _HEAD + b'{"version"'])
def test_client__daemon_dies(tmp_path: Path, answer: bytes) -> None:
    """A daemon that ends in the middle of its answer is one sentence and code 1."""
    with _peer(tmp_path / "s", answer) as path, pytest.raises(ControlError) as caught:
        ControlClient([path]).status()
    assert caught.value.exit_code == 1
    assert str(caught.value) == f"the daemon at {path} stopped in the middle of its answer"


@pytest.mark.parametrize("answer", [_CHUNKED, _CHUNKED + _PROGRESS, _CHUNKED + _PROGRESS[:9]])
def test_prune__daemon_dies(tmp_path: Path, answer: bytes) -> None:
    """A prune without its result never counts as done."""
    with _peer(tmp_path / "s", answer) as path, pytest.raises(ControlError) as caught:
        ControlClient([path]).prune(_PRUNE, _ignore)
    assert caught.value.exit_code == 1
    assert str(caught.value).endswith("stopped in the middle of its answer")


def test_prune__ends_without_result(tmp_path: Path) -> None:
    """An orderly end of the body is no result either."""
    answer = _CHUNKED + _PROGRESS + b"0\r\n\r\n"
    with _peer(tmp_path / "s", answer) as path, pytest.raises(ControlError) as caught:
        ControlClient([path]).prune(_PRUNE, _ignore)
    assert caught.value.exit_code == 1


def test_backup__whole(control_socket: Path, operations: FakeOperations) -> None:
    """A copy arrives piece by piece, with the length announced, and is let go by the daemon."""
    operations.ledger = bytes(range(256)) * 4000
    got, steps = bytearray(), list[Progress]()
    received = ControlClient([control_socket]).backup(got.extend, steps.append)
    assert (bytes(got), received) == (operations.ledger, len(operations.ledger))
    assert steps[-1] == Progress(received, received)
    ControlClient([control_socket]).status()
    assert operations.copies == 0


def test_backup__breaks_off(control_socket: Path, operations: FakeOperations) -> None:
    """A copy that the daemon cannot read to its end never counts as one."""
    operations.announced = 4000
    with pytest.raises(ControlError, match="stopped in the middle") as caught:
        ControlClient([control_socket]).backup(bytearray().extend, _ignore)
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("answer", [_HEAD, _HEAD + b"x" * 3999, b"HTTP/1.1 200 OK\r\n\r\nabc"])
def test_backup__daemon_dies(tmp_path: Path, answer: bytes) -> None:
    """Neither does one that is shorter than announced, or of no announced length at all."""
    with _peer(tmp_path / "s", answer) as path, pytest.raises(ControlError) as caught:
        ControlClient([path]).backup(bytearray().extend, _ignore)
    assert str(caught.value).endswith("stopped in the middle of its answer")


def test_client__silent_daemon(tmp_path: Path) -> None:
    """A daemon that accepts and never answers counts as none: code 3."""
    with _peer(tmp_path / "s", None) as path, pytest.raises(ControlError) as caught:
        ControlClient([path], read_seconds=0.05).status()
    assert (caught.value.exit_code, str(caught.value)) == (
        3,
        f"the daemon at {path} said nothing for 0.05 s",
    )


@pytest.mark.parametrize(("status", "code"), [(400, 2), (403, 4), (404, 1), (500, 1), (503, 1)])
def test_client__exit_codes(tmp_path: Path, status: int, code: int) -> None:
    """The daemon's sentence is passed on, with the exit code of its status."""
    body = b'{"error":"because"}'
    answer = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    with _peer(tmp_path / "s", answer) as path, pytest.raises(ControlError) as caught:
        ControlClient([path]).status()
    assert (str(caught.value), caught.value.exit_code) == ("because", code)


def test_client__another_version(tmp_path: Path) -> None:
    """An answer of another shape says that the daemon wants a restart."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    with _peer(tmp_path / "s", answer) as path, pytest.raises(ControlError) as caught:
        ControlClient([path]).status()
    assert "after an upgrade restart it" in str(caught.value)


def test_prune__error_on_the_way(control_socket: Path, operations: FakeOperations) -> None:
    """An error line ends a prune with that sentence and code 1."""

    async def steps(_: PruneRequest) -> AsyncIterator[Progress | PruneAnswer]:
        yield Progress(0, None)
        raise LedgerError("the ledger is gone")

    operations.prune_steps = steps
    with pytest.raises(ControlError, match="the ledger is gone") as caught:
        ControlClient([control_socket]).prune(_PRUNE, _ignore)
    assert caught.value.exit_code == 1


def test_prune__callers_error_passes(control_socket: Path) -> None:
    """What goes wrong while progress is shown is not blamed on the daemon."""

    def fail(_: Progress) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        ControlClient([control_socket]).prune(_PRUNE, fail)
