"""The load generator: many clients asking for one file at once, in a process of its own.

`python -m bench.clients` takes a `Job` as JSON on stdin and gives a list of `Outcome` on stdout. It
is one epoll loop on bare sockets, and clients that only count have the kernel drop the bytes
(MSG_TRUNC, tcp(7)), so that on a small machine the generator does not become what is measured.
Moments are `time.monotonic()`, which all processes of a host share.
"""

from __future__ import annotations

import hashlib
import selectors
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Mapping

import msgspec

from bench.processes import REPOSITORY

HEAD_BYTES = 64 * 1024
PIECE_BYTES = 1024 * 1024
# No client got anything for so long: the rest has failed.
IDLE_SECONDS = 30.0
# By then the processes of jobs side by side have started; and so far apart they begin.
PROCESS_SECONDS = 1.0
APART_SECONDS = 0.1
CHUNKED_END = b"0\r\n\r\n"


class Job(msgspec.Struct, frozen=True):
    """Whom to ask, and how: the first `hashers` hash, the others count.

    With `cut_first` one more client comes first, and resets its connection after `cut_at` bytes.
    Whoever has not finished after `deadline_seconds` has failed. `begin_at` is a moment: jobs that
    run beside one another begin when all their processes are there.
    """

    port: int
    path: str
    clients: int = 100
    hashers: int = 5
    cut_first: bool = False
    cut_at: int = 0
    headers: dict[str, str] = {}
    deadline_seconds: float = 600.0
    begin_at: float = 0.0


class Outcome(msgspec.Struct):
    """How one client fared; `sha256` only if it hashed, `failure` is empty for a whole body."""

    started_at: float = 0.0
    first_byte_at: float = 0.0
    finished_at: float = 0.0
    status: int = 0
    announced: int = -1
    received: int = 0
    sha256: str = ""
    failure: str = "unfinished"
    was_cut: bool = False


class Client:
    """One connection and its transfer; `on_ready` is called when the socket has news."""

    def __init__(self, job: Job, *, hashes: bool, cut_at: int | None = None) -> None:
        self.outcome = Outcome(started_at=time.monotonic(), was_cut=cut_at is not None)
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.sock.connect_ex(("127.0.0.1", job.port))
        # Closing tells the end of a body whose length nobody has announced.
        headers = {"Host": f"127.0.0.1:{job.port}", **job.headers, "Connection": "close"}
        lines = [f"GET {job.path} HTTP/1.1", *(f"{n}: {v}" for n, v in headers.items()), "", ""]
        self._request = "\r\n".join(lines).encode()
        self._hash = hashlib.sha256() if hashes else None
        # The end of a body in chunks, which is not to be taken for the end of a broken one.
        self._tail: bytes | None = None
        self._cut_at = cut_at
        self._head = b""
        self._in_body = False

    def send_request(self) -> None:
        """Send the request on the connection that is now open; raises OSError."""
        sent = self.sock.send(self._request)
        if sent != len(self._request):
            raise ConnectionError("a request of one packet was not taken")

    def receive(self, buffer: memoryview) -> bool:
        """Take what is there; return whether the transfer is over. Raises OSError."""
        if not self._in_body:
            return self._receive_head()
        if self._hash is None and self.outcome.announced >= 0:
            length = self.sock.recv_into(buffer, PIECE_BYTES, socket.MSG_TRUNC)
        else:
            length = self.sock.recv_into(buffer)
            self._take(bytes(buffer[:length]))
        if length:
            return self._count(length)
        if self.outcome.announced >= 0 or self._tail not in (None, CHUNKED_END):
            raise ConnectionError("closed early")
        return self._finish(time.monotonic())

    def _take(self, received: bytes) -> None:
        if self._hash is not None:
            self._hash.update(received)
        if self._tail is not None:
            self._tail = (self._tail + received)[-len(CHUNKED_END) :]

    def _receive_head(self) -> bool:
        received = self.sock.recv(HEAD_BYTES)
        if not received:
            raise ConnectionError("closed without an answer")
        self._head += received
        head, blank, body = self._head.partition(b"\r\n\r\n")
        if not blank:
            return False
        self._in_body = True
        status_line, *lines = head.decode("latin-1").split("\r\n")
        self.outcome.status = int(status_line.split(" ")[1])
        headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines)}
        self.outcome.announced = int(headers.get("content-length", "-1"))
        if self.outcome.status != 200:
            raise ConnectionError(status_line)
        if headers.get("transfer-encoding") == "chunked":
            self._tail = b""
        self._take(body)
        return bool(body) and self._count(len(body))

    def _count(self, length: int) -> bool:
        now = time.monotonic()
        self.outcome.first_byte_at = self.outcome.first_byte_at or now
        self.outcome.received += length
        if self._cut_at is not None and self.outcome.received >= self._cut_at:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.outcome.failure = "cut on purpose"
            return True
        if self.outcome.announced < 0 or self.outcome.received < self.outcome.announced:
            return False
        return self._finish(now)

    def _finish(self, now: float) -> bool:
        self.outcome.finished_at = now
        self.outcome.sha256 = self._hash.hexdigest() if self._hash is not None else ""
        self.outcome.failure = ""
        return True


def run_apart(job: Job) -> list[Outcome]:
    """Run the job in a process of its own."""
    (outcomes,) = _run_processes({"": job}).values()
    return outcomes


def run_beside(jobs: Mapping[str, Job]) -> dict[str, list[Outcome]]:
    """Run jobs at the same time, each in a process of its own, begun shortly one by one."""
    first_at = time.monotonic() + PROCESS_SECONDS
    jobs = {
        name: msgspec.structs.replace(job, begin_at=first_at + number * APART_SECONDS)
        for number, (name, job) in enumerate(jobs.items())
    }
    return _run_processes(jobs)


def _run_processes(jobs: Mapping[str, Job]) -> dict[str, list[Outcome]]:
    running = {
        name: subprocess.Popen(
            [sys.executable, "-m", "bench.clients"],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for name in jobs
    }
    for name, process in running.items():
        assert process.stdin is not None
        process.stdin.write(msgspec.json.encode(jobs[name]))
        process.stdin.close()
        process.stdin = None
    outcomes = {}
    for name, process in running.items():
        out, _ = process.communicate()
        if process.returncode:
            raise RuntimeError("the load generator has failed")
        outcomes[name] = msgspec.json.decode(out, type=list[Outcome])
    return outcomes


def run(job: Job) -> list[Outcome]:
    """Run the job to its end and return the outcomes, the cut client's first if there is one."""
    time.sleep(max(0.0, job.begin_at - time.monotonic()))
    clients = [Client(job, hashes=False, cut_at=job.cut_at)] if job.cut_first else []
    clients += [Client(job, hashes=number < job.hashers) for number in range(job.clients)]
    with selectors.EpollSelector() as selector:
        for client in clients:
            selector.register(client.sock, selectors.EVENT_WRITE, client)
        _drive(selector, time.monotonic() + job.deadline_seconds)
    for client in clients:
        client.sock.close()
    return [client.outcome for client in clients]


def _drive(selector: selectors.BaseSelector, until: float) -> None:
    buffer = memoryview(bytearray(PIECE_BYTES))
    while selector.get_map():
        ready = selector.select(min(IDLE_SECONDS, max(0.0, until - time.monotonic())))
        if not ready:
            return
        for key, events in ready:
            client: Client = key.data
            try:
                over = _step(selector, client, events, buffer)
            except OSError as error:
                client.outcome.failure, over = str(error), True
            if over:
                selector.unregister(client.sock)
                client.sock.close()


def _step(
    selector: selectors.BaseSelector, client: Client, events: int, buffer: memoryview
) -> bool:
    if events & selectors.EVENT_WRITE:
        client.send_request()
        selector.modify(client.sock, selectors.EVENT_READ, client)
        return False
    return client.receive(buffer)


if __name__ == "__main__":
    outcomes = run(msgspec.json.decode(sys.stdin.buffer.read(), type=Job))
    sys.stdout.buffer.write(msgspec.json.encode(outcomes))
