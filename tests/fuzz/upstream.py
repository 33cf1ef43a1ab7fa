"""The upstream side: indexes whose answers are mutated, head and body, at a daemon process.

Each client has an index of its own, of which every second answer is well: no breaker opens. A file
or sidecar that comes whole is what its page says, or it does not come whole; a page is well-formed,
or an error of ours.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import random
from collections.abc import Iterable
from contextlib import suppress

from tests.e2e.process import JSON, DaemonProcess
from tests.fuzz.answers import Answer, NotHttpError, parse_answers
from tests.fuzz.mutate import mutate
from tests.fuzz.world import (
    WAIT_SECONDS,
    FindingError,
    check,
    check_at_the_end,
    daemon_before,
    exchange,
    index_table,
)

CLIENTS = 12
EACH = 2
KINDS = ("page", "html", "gzip", "file", "large", "metadata", "list")
SMALL, LARGE = b"small " * 500, b"large " * 30_000
METADATA = b"Metadata-Version: 2.1\nName: alpha\nVersion: 1.0\n"


class MutatedIndex:
    """A listener that answers by path: `/w1/simple/{kind}-{batch}-{n}-w1/`, `/f/…`; `good-…` well.

    What is mutated, and how, is told by the path alone, so a batch can be repeated by itself.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.origin = ""
        # What was sent last for a case, for the report of a finding.
        self.sent: dict[str, bytes] = {}

    async def start(self) -> asyncio.Server:
        """Listen on a free port of 127.0.0.1."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return server

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(self._answer(head.split(b" ")[1].decode("latin-1")))
            await writer.drain()
        writer.close()

    def _answer(self, path: str) -> bytes:
        segments = path.split("/")
        if segments[1] != "f":
            name = segments[3] or f"list-{segments[1]}"
            kind = name.partition("-")[0]
            answer = self._page(name, kind)
            spoilt = kind in ("page", "html", "gzip", "list")
        else:
            name = segments[2]
            kind = name.partition("-")[0]
            body = METADATA if path.endswith(".metadata") else body_of(kind)
            answer = answer_of(
                "application/octet-stream", body, 'ETag: "x"\r\nAccept-Ranges: bytes\r\n'
            )
            spoilt = kind in ("file", "large") or path.endswith(".metadata")
        if spoilt:
            dice = random.Random(f"{self._seed}-{path}")
            answer = self.sent[name] = mutate(dice, answer, [answer, answer_of(JSON, b"{}")])
        return answer

    def _page(self, name: str, kind: str) -> bytes:
        if kind == "list":
            projects = [{"name": f"project-{number}"} for number in range(50)]
            return answer_of(
                JSON, json.dumps({"meta": {"api-version": "1.4"}, "projects": projects}).encode()
            )
        body = body_of(kind)
        digest = hashlib.sha256(body).hexdigest()
        filename = f"{name.replace('-', '_')}-1.0-py3-none-any.whl"
        url = f"{self.origin}/f/{name}/{filename}"
        if kind == "html":
            rows = f'<a href="{url}#sha256={digest}" data-yanked="why">{filename}</a><br>' * 3
            return answer_of(
                "text/html", f"<!DOCTYPE html><html><body>{rows}</body></html>".encode()
            )
        row = {
            "filename": filename, "url": url, "hashes": {"sha256": digest}, "size": len(body),
            "core-metadata": {"sha256": hashlib.sha256(METADATA).hexdigest()}, "yanked": "why",
            "requires-python": ">=3.8", "upload-time": "2024-01-02T03:04:05.000Z",
        }  # fmt: skip
        page = {"meta": {"api-version": "1.4"}, "name": name, "versions": ["1.0"], "files": [row]}
        text = json.dumps(page).encode()
        if kind == "gzip":
            return answer_of(JSON, gzip.compress(text, mtime=0), "Content-Encoding: gzip\r\n")
        return answer_of(JSON, text, f'X-PyPI-Last-Serial: 5\r\nETag: "{digest[:8]}"\r\n')


def body_of(kind: str) -> bytes:
    """Return the bytes of the file that a project of a kind has."""
    return LARGE if kind == "large" else SMALL


def answer_of(content_type: str, body: bytes, headers: str = "") -> bytes:
    """Return a whole answer."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\n{headers}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class UpstreamFuzz:
    """One daemon in front of a `MutatedIndex`."""

    name = "upstream"

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def run(self, batches: Iterable[int]) -> int:
        """Run batches by number; return how many answers were spoilt. Raises FindingError."""
        return asyncio.run(self._run(batches))

    async def _run(self, batches: Iterable[int]) -> int:
        index = MutatedIndex(self._seed)
        server = await index.start()
        count = 0
        tables = [
            index_table(f"w{n}", f"{index.origin}/w{n}/simple/", f"*-w{n}") for n in range(CLIENTS)
        ]
        with daemon_before("".join(tables)) as daemon:
            for number in batches:
                work = [self._client(daemon, index, number, n) for n in range(CLIENTS)]
                for error in await asyncio.gather(*work, return_exceptions=True):
                    if error is not None:
                        raise error
                await check(daemon)
                count += CLIENTS * EACH
            server.close()
            await asyncio.to_thread(check_at_the_end, daemon)
        return count

    async def _client(self, daemon: DaemonProcess, index: MutatedIndex, batch: int, n: int) -> None:
        dice = random.Random(f"{self._seed}-{batch}-{n}")
        for number in range(EACH):
            kind = dice.choice(KINDS)
            name = f"{kind}-{batch}-{number}-w{n}" if kind != "list" else f"list-w{n}"
            try:
                await ask(daemon, f"/simple/good-{batch}-{number}-w{n}/")
                if kind in ("file", "large", "metadata"):
                    await check_file(daemon, name, kind)
                elif kind == "list":
                    await check_page(daemon, f"/w{n}/simple/")
                else:
                    await check_page(daemon, f"/simple/{name}/")
            except FindingError as finding:
                sent = index.sent.get(name, b"")
                raise FindingError(f"{name}: {finding.what}", sent) from finding


async def ask(daemon: DaemonProcess, path: str, *headers: str) -> Answer:
    """Return the one answer to a request; it may be cut. Raises FindingError for what is none."""
    lines = [f"GET {path} HTTP/1.1", "Host: x", "Connection: close", *headers]
    request = ("\r\n".join(lines) + "\r\n\r\n").encode()
    received = await exchange(daemon.url, request, seconds=WAIT_SECONDS)
    try:
        answers = parse_answers(received)
    except NotHttpError as error:
        raise FindingError(str(error)) from error
    if not answers:  # broken off before its head had left
        return Answer(0, {}, b"", whole=False)
    answer = answers[0]
    if len(answers) > 1 or answer.status not in (200, 206, 404, 416, 403, 502, 503):
        raise FindingError(f"answered {[one.status for one in answers]}: {answer.body[:200]!r}")
    if answer.status >= 400 and not answer.body:
        raise FindingError(f"a {answer.status} without a word")
    return answer


async def check_file(daemon: DaemonProcess, name: str, kind: str) -> None:
    """A file, a part of it or its sidecar is right, or is not whole, or an error."""
    page = await ask(daemon, f"/simple/{name}/", f"Accept: {JSON}")
    if page.status != 200:
        raise FindingError(f"its page is well, and {page.status}: {page.body[:200]!r}")
    path = "/" + json.loads(page.body)["files"][0]["url"].removeprefix("../../")
    body = body_of(kind)
    if kind == "metadata":
        path, body = path + ".metadata", METADATA
    # What lies before the last 64 KiB may leave in a range before all of it is verified.
    last = len(body) - 1
    for start in (0, 100, last - 8, 0):
        headers = [f"Range: bytes={start}-{last}"] if start else []
        answer = await ask(daemon, path, *headers)
        part = body if answer.status == 200 else body[start:]
        if answer.status in (200, 206) and answer.whole and answer.body != part:
            raise FindingError(f"wrong bytes as a whole {answer.status}: {answer.body[:100]!r}")


async def check_page(daemon: DaemonProcess, path: str) -> None:
    """A page is well-formed in both formats, and its links stay here."""
    answer = await ask(daemon, path, f"Accept: {JSON}")
    if answer.status == 200 and answer.whole:
        try:
            page = json.loads(answer.body, parse_constant=_no_constant)
        except ValueError as error:
            raise FindingError(f"a page that is no JSON: {answer.body[:300]!r}") from error
        for file in page.get("files", ()):
            if not file["url"].startswith("../../files/w"):
                raise FindingError(f"a link that leads elsewhere: {file['url'][:200]!r}")
    html = await ask(daemon, path, "Accept: text/html")
    if html.status == 200 and not html.body.endswith(b"</html>\n"):
        raise FindingError(f"a page that is cut: {html.body[-200:]!r}")


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is no JSON")
