"""The public listener: mutated requests, several on a connection, at a daemon in front of a fake.

Whatever comes, answers are answers, errors are 4xx, 502 or 503 with a body, only what the index
lists is fetched, and the listed files are what they were.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from urllib.parse import unquote

from tests.e2e.process import JSON, DaemonProcess
from tests.fake import Request, ThreadedFakeUpstream, make_sdist, make_wheel
from tests.fuzz.answers import Answer, NotHttpError, parse_answers
from tests.fuzz.mutate import mutate
from tests.fuzz.world import (
    FindingError,
    check,
    check_at_the_end,
    daemon_before,
    exchange,
    index_table,
)

BATCH = 40
# A connection that waits for the rest of a request is left after so long.
PATIENCE_SECONDS = 0.5

FILES = (make_wheel("alpha", "1.0", size_bytes=100_000), make_sdist("alpha", "2.0"))
BETA = make_wheel("beta")


class ListenerFuzz:
    """One daemon and its fake index; `run_batch` may be called with any numbers, in any order."""

    name = "listener"

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def run(self, batches: Iterable[int]) -> int:
        """Run batches by number; return how many requests those were. Raises FindingError."""
        with ThreadedFakeUpstream() as upstream:
            upstream.add("alpha", *FILES)
            upstream.add("beta", BETA)
            with daemon_before(index_table("pypi", upstream.url)) as daemon:
                paths = daemon.file_paths("alpha")
                corpus = corpus_of([paths[file.filename] for file in FILES])
                count = asyncio.run(self._run(daemon, batches, corpus))
                check_files(daemon, paths)
                check_asked(upstream.requests)
                check_at_the_end(daemon)
        return count

    async def _run(self, daemon: DaemonProcess, batches: Iterable[int], corpus: list[bytes]) -> int:
        count = 0
        for number in batches:
            dice = random.Random(f"{self._seed}-{number}")
            cases = [case_of(dice, corpus) for _ in range(BATCH)]
            await asyncio.gather(*(send(daemon, case) for case in cases))
            await check(daemon)
            count += len(cases)
        return count


def corpus_of(paths: list[str]) -> list[bytes]:
    """Return valid requests: every path, method, header and framing that means anything."""
    targets = [
        "/",
        "/healthz",
        "/readyz",
        "/metrics",
        "/simple/",
        "/simple/alpha/",
        "/simple/alpha",
    ]
    targets += ["/simple/Alpha/?format=application/vnd.pypi.simple.v1%2Bjson", "/pypi/simple/beta/"]
    targets += ["/index/alpha/", "/pypi/alpha/json", f"/simple/alpha/{FILES[0].filename}"]
    targets += ["http://x/simple/alpha/", *paths, paths[0] + ".metadata", "/simple/gamma/"]
    headers = [
        "",
        f"Accept: {JSON}\r\n",
        "Accept: text/html;q=0.5, */*;q=0.1\r\nAccept-Encoding: gzip\r\n",
        "Accept-Encoding: zstd;q=1, identity;q=0\r\n",
        "Range: bytes=10-19\r\n",
        "Range: bytes=-7\r\n",
        'Range: bytes=5-\r\nIf-Range: "x"\r\n',
        "If-None-Match: *\r\n",
        "Cache-Control: no-cache\r\n",
        "X-Forwarded-For: 10.0.0.1\r\nForwarded: for=x\r\n",
        "Connection: Upgrade\r\nUpgrade: h2c\r\n",
    ]
    heads = [f"GET {t} HTTP/1.1\r\nHost: x\r\n{h}\r\n" for t in targets for h in headers]
    heads += [f"HEAD {t} HTTP/1.1\r\nHost: x\r\n\r\n" for t in targets]
    heads += [f"{m} /simple/ HTTP/1.1\r\nHost: x\r\n\r\n" for m in ("PUT", "DELETE", "OPTIONS")]
    heads += [
        "POST /legacy/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabcde",
        "GET /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3\r\nabc\r\n0\r\n\r\n",
        "GET /healthz HTTP/1.0\r\n\r\n",
    ]
    return [head.encode() for head in heads]


def case_of(dice: random.Random, corpus: list[bytes]) -> bytes:
    """Return one to three requests, at least one of them changed."""
    requests = [dice.choice(corpus) for _ in range(dice.choice((1, 1, 2, 3)))]
    at = dice.randrange(len(requests))
    requests[at] = mutate(dice, requests[at], corpus)
    return b"".join(requests)


async def send(daemon: DaemonProcess, case: bytes) -> None:
    """Send a case on a connection of its own and judge what comes back."""
    received = await exchange(daemon.url, case, seconds=PATIENCE_SECONDS)
    try:
        answers = parse_answers(received, heads=b"HEAD" in case)
    except NotHttpError as error:
        raise FindingError(str(error), case) from error
    for answer in answers:
        judge(answer, case)


def judge(answer: Answer, case: bytes) -> None:
    """Raise FindingError for an answer that no request may get."""
    status = answer.status
    if status >= 500 and status not in (502, 503):
        raise FindingError(f"answered {status}: {answer.body[:200]!r}", case)
    if status >= 400 and b"x-request-id" not in answer.headers:
        raise FindingError(f"a {status} without an id", case)
    if status in (502, 503) and not answer.body and b"HEAD" not in case:
        raise FindingError(f"a {status} without a word", case)
    if b"set-cookie" in answer.headers or b"evil" in b"".join(answer.headers.values()):
        raise FindingError(f"headers that are not ours: {answer.headers}", case)


def check_files(daemon: DaemonProcess, paths: dict[str, str]) -> None:
    """The files are what the index published."""
    for file in FILES:
        if daemon.get(paths[file.filename]) != (200, file.body):
            raise FindingError(f"{file.filename} has changed")


def check_asked(requests: list[Request]) -> None:
    """Only pages by grammar and listed files were asked for, by GET and HEAD."""
    names = [file.filename for file in (*FILES, BETA)]
    listed = names + [f"{name}.metadata" for name in names]
    for request in requests:
        segments = request.raw_path[1:].split("/")
        page = segments[0] == "simple" and len(segments) in (2, 3) and segments[-1] == ""
        fine = page or (request.origin == "files" and unquote(segments[-1]) in listed)
        if request.method not in ("GET", "HEAD") or not fine:
            raise FindingError(f"asked upstream for {request.method} {request.raw_path}")
