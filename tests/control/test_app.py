"""The control application over a real Unix socket, spoken to as any HTTP client would."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import socket
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from pypicached.control.app import MAX_MESSAGE_BYTES
from pypicached.errors import LedgerError
from pypicached.history import Question
from pypicached.messages import Progress, ProjectRow, PruneAnswer, PruneRequest
from pypicached.networks import ends_of, parse_network
from pypicached.requirement import parse_requirement
from tests.control.daemon import PRUNED, USED_AT, FakeOperations, serving


async def _ask(path: Path, method: str, url: str, body: Any = None) -> tuple[int, Any]:
    connector = aiohttp.UnixConnector(str(path))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.request(method, f"http://control{url}", json=body) as response,
    ):
        text = await response.text()
        lines = [json.loads(line) for line in text.splitlines()]
        return response.status, lines[0] if len(lines) == 1 else lines


async def test_status__answer(control_socket: Path) -> None:
    """GET /status answers one JSON document with the contract's keys."""
    status, answer = await _ask(control_socket, "GET", "/status")
    assert (status, answer["disk"]["limit_bytes"]) == (200, 20 * 2**30)


async def test_stats__parameters(control_socket: Path, operations: FakeOperations) -> None:
    """The period and the number of projects reach the operations as numbers."""
    status, _ = await _ask(control_socket, "GET", "/stats?since_seconds=3600.5&top=3")
    assert (status, operations.asked) == (200, [(3600.5, 3)])


async def test_who__question_and_lines(
    control_socket: Path, operations: FakeOperations, caplog: pytest.LogCaptureFixture
) -> None:
    """What is asked reaches the daemon as it means it; rows come in parts; it is logged."""
    caplog.set_level(logging.INFO)
    url = "/who?requirement=Demo%3C2&client=10.0.0.0/8&since=12.5&refused=1"
    status, lines = await _ask(control_socket, "GET", url)
    (question,) = operations.asked
    assert (str(question.requirement), question.since, question.refused) == ("demo<2", 12.5, True)
    assert question.clients == ends_of(parse_network("10.0.0.0/8"))
    assert status == 200
    assert [row["filename"] for line in lines[:-1] for row in line["part"]] == [
        "demo-1.0.tar.gz"
    ] * 2
    assert lines[-1] == {"result": {"complete_since": USED_AT, "note": ""}}
    assert any(f"uid {os.geteuid()}: who requirement=" in r.getMessage() for r in caplog.records)


async def test_who__everything(control_socket: Path, operations: FakeOperations) -> None:
    """Without parameters all that was fetched is asked for."""
    await _ask(control_socket, "GET", "/who")
    await _ask(control_socket, "GET", "/who?client=unix")
    assert operations.asked == [Question(), Question(clients=(b"", b""))]


async def test_who__unknown(control_socket: Path) -> None:
    """A project of which nothing is known is a 404 with a sentence."""
    status, answer = await _ask(control_socket, "GET", "/who?requirement=other")
    assert (status, answer) == (404, {"error": "nothing is known of it"})


@pytest.mark.parametrize(
    ("method", "url", "body"),
    [
        ("GET", "/stats?since_seconds=soon", None),
        ("GET", "/stats?since_seconds=nan", None),
        ("GET", "/stats?top=-1", None),
        ("GET", "/stats?top=1001", None),
        ("GET", "/list?sort=colour", None),
        ("GET", "/who?requirement=demo[x]", None),
        ("GET", "/who?client=somewhere", None),
        ("GET", "/who?since=yesterday", None),
        ("POST", "/prune", {}),
        ("POST", "/prune", {"days": 1, "to_size_bytes": 1}),
        ("POST", "/prune", {"days": -1}),
        ("POST", "/prune", {"days": "many"}),
        ("POST", "/prune", None),
        ("POST", "/offline", {}),
        ("POST", "/offline", {"on": "maybe"}),
        ("POST", "/invalidate", {}),
        ("POST", "/invalidate", {"project_list": True, "files": True}),
        ("POST", "/invalidate", {"projects": ["demo"], "everything": True}),
        ("POST", "/pin", {"requirements": []}),
        ("POST", "/pin", {"requirements": ["demo", "flask[async]"]}),
        ("POST", "/unpin", {"requirements": ["no name"]}),
    ],
)
async def test_control__wrong_usage(
    control_socket: Path, operations: FakeOperations, method: str, url: str, body: Any
) -> None:
    """What makes no sense is a 400 with a sentence, and the operations are not bothered."""
    status, answer = await _ask(control_socket, method, url, body)
    assert (status, list(answer), operations.asked) == (400, ["error"], [])


async def test_control__too_much_at_once(control_socket: Path) -> None:
    """What is larger than any lock is refused in words, and not held."""
    body = io.BytesIO(b" " * (MAX_MESSAGE_BYTES + 1))
    connector = aiohttp.UnixConnector(str(control_socket))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.post("http://control/warm", data=body) as response,
    ):
        assert response.status == 400
        assert json.loads(await response.text()) == {"error": "that is more than 16 MiB at once"}


@pytest.mark.parametrize(
    ("method", "url", "status"), [("GET", "/nothing", 404), ("POST", "/status", 405)]
)
async def test_control__no_such_route(
    control_socket: Path, method: str, url: str, status: int
) -> None:
    """Also what the router refuses is JSON with a sentence."""
    got, answer = await _ask(control_socket, method, url)
    assert (got, answer["error"]) == (status, f"this daemon knows no {method} {url}")


async def test_list__unknown_project(control_socket: Path) -> None:
    """A project of which nothing is cached is a 404 with the reason."""
    got = await _ask(control_socket, "GET", "/list/other")
    assert got == (404, {"error": "nothing of other is cached"})


async def test_control__error_on_purpose(control_socket: Path, operations: FakeOperations) -> None:
    """An error of ours is told in its own words."""
    operations.error = LedgerError("the ledger is locked")
    assert await _ask(control_socket, "GET", "/status") == (500, {"error": "the ledger is locked"})


async def test_control__unexpected_error(
    control_socket: Path, operations: FakeOperations, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug is a 500 that gives nothing away, and a traceback in the log."""
    operations.error = KeyError("secret")
    status, answer = await _ask(control_socket, "GET", "/status")
    assert status == 500
    assert "secret" not in answer["error"]
    assert "KeyError: 'secret'" in caplog.text


@pytest.mark.parametrize(
    ("url", "body"),
    [
        ("/prune", {"days": 3}),
        ("/invalidate", {"projects": ["demo"]}),
        ("/pin", {"requirements": ["demo"]}),
        ("/unpin", {"requirements": ["demo"]}),
        ("/repair", {"projects": ["demo"]}),
        ("/backup", None),
    ],
)
async def test_change__logged(
    control_socket: Path, caplog: pytest.LogCaptureFixture, url: str, body: Any
) -> None:
    """Each changing command is logged with its caller's uid."""
    caplog.set_level(logging.INFO)
    with contextlib.suppress(json.JSONDecodeError):  # the copy is none
        await _ask(control_socket, "POST", url, body)
    assert f"uid {os.geteuid()}: {url[1:]}" in caplog.text


async def test_pin__rules(control_socket: Path, operations: FakeOperations) -> None:
    """Requirements arrive as rules, each once; the answer has the contract's keys."""
    body = {"requirements": ["Flask == 3.*", "flask==3.*"]}
    status, answer = await _ask(control_socket, "POST", "/pin", body)
    assert (status, operations.asked) == (200, [[parse_requirement("flask==3.*")]])
    row = {"requirement": "flask==3.*", "files": 2, "size_bytes": 1536}
    assert answer == {"changed": [row], "unchanged": ["demo"]}


@pytest.mark.parametrize(
    ("method", "url", "body", "asked"),
    [
        ("GET", "/verify", None, ([], False)),
        ("GET", "/verify?project=demo&project=b", None, (["demo", "b"], False)),
        ("POST", "/repair", {"projects": ["demo"]}, (["demo"], True)),
    ],
)
async def test_verify__lines(
    control_socket: Path,
    operations: FakeOperations,
    method: str,
    url: str,
    body: Any,
    asked: tuple[list[str], bool],
) -> None:
    """Reading is a GET, repairing a POST; both answer lines with bytes, and then the result."""
    status, lines = await _ask(control_socket, method, url, body)
    assert (status, operations.asked) == (200, [asked])
    assert lines[0] == {"progress": {"done": 1, "total": 3, "bytes": 1024}}
    assert lines[1] == {"result": {"checked": 3, "bytes": 4096, "problems": []}}


@pytest.mark.parametrize("count", [0, 1, 500, 501, 1500])
async def test_list__of_any_length(
    control_socket: Path, operations: FakeOperations, count: int
) -> None:
    """A list is one JSON document, however many steps it is sent in."""
    operations.projects = [ProjectRow(f"p{n}", n, n, "t", n) for n in range(count)]
    status, rows = await _ask(control_socket, "GET", "/list")
    assert status == 200
    assert [row["project"] for row in rows] == [f"p{n}" for n in range(count)]


async def test_prune__lines(control_socket: Path, operations: FakeOperations) -> None:
    """A prune answers NDJSON: progress and files, then the result, which has none itself."""
    status, lines = await _ask(control_socket, "POST", "/prune", {"days": 90})
    assert status == 200
    assert operations.asked == [PruneRequest(days=90)]
    assert lines[0] == {"progress": {"done": 1, "total": 2, "text": "demo"}}
    assert [file["filename"] for file in lines[1]["part"]] == ["demo-1.0.tar.gz"]
    assert (lines[2]["result"]["bytes"], lines[2]["result"]["files"]) == (PRUNED.bytes, [])


async def test_prune__error_on_the_way(control_socket: Path, operations: FakeOperations) -> None:
    """An error after the first line is a line itself, because the status has left."""

    async def steps(_: PruneRequest) -> AsyncIterator[Progress | PruneAnswer]:
        yield Progress(0, None)
        raise LedgerError("the ledger is gone")

    operations.prune_steps = steps
    _, lines = await _ask(control_socket, "POST", "/prune", {"days": 0})
    assert lines[1] == {"error": "the ledger is gone"}


async def test_prune__error_at_first(control_socket: Path, operations: FakeOperations) -> None:
    """An error before the first line has a status of its own."""

    async def steps(_: PruneRequest) -> AsyncIterator[Progress | PruneAnswer]:
        if operations.asked:
            raise LedgerError("the ledger is gone")
        yield Progress(0, None)

    operations.prune_steps = steps
    got = await _ask(control_socket, "POST", "/prune", {"days": 0})
    assert got == (500, {"error": "the ledger is gone"})


def test_prune__lines_are_flushed_and_the_caller_leaves(
    operations: FakeOperations, caplog: pytest.LogCaptureFixture
) -> None:
    """Each line leaves at once; when the caller goes the work is closed, and that is no error."""
    closed = threading.Event()

    async def steps(_: PruneRequest) -> AsyncIterator[Progress | PruneAnswer]:
        try:
            # Ends only by being closed: the socket's buffer fills, then the reset is noticed.
            while True:
                yield Progress(1, None, "x" * 1000)
        finally:
            closed.set()

    operations.prune_steps = steps
    with serving(operations) as path, socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(10)
        stream.connect(str(path))
        body = b'{"days": 0}'
        head = b"POST /prune HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
        stream.sendall(head + body)
        received = b""
        while b'{"progress"' not in received:
            received += stream.recv(4096)
        stream.close()
        assert closed.wait(10)
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING] == []


def test_backup__caller_leaves(
    operations: FakeOperations, caplog: pytest.LogCaptureFixture
) -> None:
    """A copy that nobody waits for any more is let go, and that is no error."""
    operations.ledger = bytes(64 * 1024 * 1024)
    with serving(operations) as path, socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(10)
        stream.connect(str(path))
        stream.sendall(b"POST /backup HTTP/1.1\r\nHost: x\r\n\r\n")
        assert stream.recv(4096).startswith(b"HTTP/1.1 200 ")
    assert operations.copies == 0
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING] == []
