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
import sys
import time

import msgspec

HEAD_BYTES = 64 * 1024
PIECE_BYTES = 1024 * 1024
# No client got anything for so long: the rest has failed.
IDLE_SECONDS = 30.0


class Job(msgspec.Struct, frozen=True):
    """Whom to ask, and how: the first `hashers` hash, the others count.

    With `cut_first` one more client comes first, and resets its connection after `cut_at` bytes.
    """

    port: int
    path: str
    clients: int = 100
    hashers: int = 5
    cut_first: bool = False
    cut_at: int = 0


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
        self._request = f"GET {job.path} HTTP/1.1\r\nHost: 127.0.0.1:{job.port}\r\n\r\n".encode()
        self._hash = hashlib.sha256() if hashes else None
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
        if self._hash is None:
            length = self.sock.recv_into(buffer, PIECE_BYTES, socket.MSG_TRUNC)
        else:
            length = self.sock.recv_into(buffer)
            self._hash.update(buffer[:length])
        if not length:
            raise ConnectionError("closed early")
        return self._count(length)

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
        if self.outcome.status != 200 or self.outcome.announced < 0:
            raise ConnectionError(f"{status_line}, length {self.outcome.announced}")
        if self._hash is not None:
            self._hash.update(body)
        return bool(body) and self._count(len(body))

    def _count(self, length: int) -> bool:
        now = time.monotonic()
        self.outcome.first_byte_at = self.outcome.first_byte_at or now
        self.outcome.received += length
        if self._cut_at is not None and self.outcome.received >= self._cut_at:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.outcome.failure = "cut on purpose"
            return True
        if self.outcome.received < self.outcome.announced:
            return False
        self.outcome.finished_at = now
        self.outcome.sha256 = self._hash.hexdigest() if self._hash is not None else ""
        self.outcome.failure = ""
        return True


def run(job: Job) -> list[Outcome]:
    """Run the job to its end and return the outcomes, the cut client's first if there is one."""
    clients = [Client(job, hashes=False, cut_at=job.cut_at)] if job.cut_first else []
    clients += [Client(job, hashes=number < job.hashers) for number in range(job.clients)]
    with selectors.EpollSelector() as selector:
        for client in clients:
            selector.register(client.sock, selectors.EVENT_WRITE, client)
        _drive(selector)
    for client in clients:
        client.sock.close()
    return [client.outcome for client in clients]


def _drive(selector: selectors.BaseSelector) -> None:
    buffer = memoryview(bytearray(PIECE_BYTES))
    while selector.get_map():
        ready = selector.select(IDLE_SECONDS)
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
