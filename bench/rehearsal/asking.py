"""Plain HTTP requests as a client sees them: single answers, and pages asked for all the time."""

from __future__ import annotations

import http.client
import json
import threading
import time
from types import TracebackType
from typing import Self
from urllib.parse import urljoin, urlsplit

import msgspec

from bench.rehearsal.seen import Answer, Pages
from bench.rehearsal.stage import WARMED, files_of, news_of
from tests.fake.wheels import DistFile

# What pip 26 sends for a page.
PIP = {
    "Accept": "application/vnd.pypi.simple.v1+json, "
    "application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01",
    "Cache-Control": "max-age=0",
}
# One answer is watched for so long: longer than a client waits (pip: 15 s).
WATCH_SECONDS = 20.0
# A page is asked for again after this pause.
PAUSE_SECONDS = 0.5


class Reply(msgspec.Struct, frozen=True):
    """One GET, bare: `status` 0 is no answer, `ended` tells whether the body came to its end."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float
    ended: str


def get(base: str, path: str) -> Reply:
    """Ask once; never raises for what the server does."""
    began = time.monotonic()
    connection = http.client.HTTPConnection(urlsplit(base).netloc, timeout=WATCH_SECONDS)
    status, headers, body, ended = 0, {}, bytearray(), "broken"
    try:
        connection.request("GET", path, headers=PIP)
        answer = connection.getresponse()
        status = answer.status
        headers = {name.lower(): value for name, value in answer.getheaders()}
        while (left := began + WATCH_SECONDS - time.monotonic()) > 0:
            if connection.sock is not None:
                connection.sock.settimeout(left)
            piece = answer.read1()
            if not piece:
                # `read1` takes a connection that closes early for an end.
                ended = "broken" if answer.length else "whole"
                break
            body += piece
        else:
            ended = "unfinished"
    except TimeoutError:
        ended = "unfinished"
    except (OSError, http.client.HTTPException):
        pass
    finally:
        connection.close()
    return Reply(status, headers, bytes(body), time.monotonic() - began, ended)


def ask_for(base: str, path: str, published: bytes | None = None) -> Answer:
    """Ask once and tell what the body is, compared with what is published; None: any is right."""
    reply = get(base, path)
    words, verdict = "", "none"
    if reply.status == 200:
        same = published is None or reply.body == published
        verdict = reply.ended if reply.ended != "whole" else "right" if same else "wrong"
    else:
        words = reply.body.decode(errors="replace").partition("\n")[0]
    wait = reply.headers.get("retry-after", "")
    return Answer(
        status=reply.status,
        seconds=reply.seconds,
        body=verdict,
        words=words or reply.ended,
        retry_after=int(wait) if wait.isdigit() else None,
    )


def path_of(base: str, file: DistFile) -> str:
    """Return the path at which a page links the file; LookupError if it does not."""
    page_path = f"/simple/{file.filename.split('-')[0]}/"
    for row in json.loads(get(base, page_path).body)["files"]:
        if row["filename"] == file.filename:
            return urljoin(page_path, str(row["url"]))
    raise LookupError(file.filename)


class PageAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One answer for a warmed page. `news`: it lists what was published after the fault."""

    project: str
    began_at: float
    seconds: float
    status: int
    detail: str
    wrong: str
    news: bool


class Asking:
    """Asks in a thread of its own: `once`, or again and again until it is right or left.

    `right_at` is the moment (`time.monotonic()`) of a right answer. An exception leaves the thread
    behind, to end with the process: a request may take long.
    """

    def __init__(
        self, base: str, path: str, published: bytes | None, *, once: bool = False
    ) -> None:
        self._request = (base, path, published)
        self._once = once
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.answer: Answer | None = None
        self.right_at: float | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        if exc is None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            self.answer = ask_for(*self._request)
            if self.answer.body == "right":
                self.right_at = time.monotonic()
                return
            if self._once or self._stop.wait(PAUSE_SECONDS):
                return


class Watch:
    """Asks for each warmed page again and again, each in a thread of its own, until it is left.

    An exception leaves the threads behind, as with `Asking`.
    """

    def __init__(self, base: str) -> None:
        self._base = base
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(p,), daemon=True) for p in WARMED]
        # Threads append, nobody removes.
        self._answers: list[PageAnswer] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        for thread in self._threads if exc is None else ():
            thread.join()

    def _run(self, project: str) -> None:
        while True:
            self._answers.append(ask_page(self._base, project))
            if self._stop.wait(PAUSE_SECONDS):
                return

    def renewed(self) -> set[str]:
        """Return the projects whose page has been seen with its news."""
        return {answer.project for answer in self._answers if answer.news}

    def pages(self, *, absent_is_right: bool) -> Pages:
        """Return what all answers come to."""
        answers = list(self._answers)
        fine = {200, 404} if absent_is_right else {200}
        failed = {f"page {a.project}: {a.status}" for a in answers if a.status not in fine}
        failed |= {f"page {a.project}: {a.wrong}" for a in answers if a.wrong}
        return Pages(
            answers=len(answers),
            stale=sum(bool(a.detail) for a in answers),
            slowest_seconds=max(a.seconds for a in answers),
            details=sorted({a.detail for a in answers if a.detail}),
            failed=sorted(failed),
        )


def ask_page(base: str, project: str) -> PageAnswer:
    """Ask for a warmed page once, and compare it with what is published."""
    began_at = time.monotonic()
    reply = get(base, f"/simple/{project}/")
    _, _, detail = reply.headers.get("cache-status", "").partition('detail="')
    wrong, news = "", False
    if reply.status == 200 and reply.ended != "whole":
        wrong = reply.ended
    elif reply.status == 200:
        rows = json.loads(reply.body)["files"]
        listed = {row["filename"]: row["hashes"].get("sha256") for row in rows}
        published = {file.filename: file.sha256 for file in files_of(project)}
        new = news_of(project)
        news = listed.pop(new.filename, None) == new.sha256
        wrong = "" if listed == published else f"lists {listed}"
    return PageAnswer(
        project=project,
        began_at=began_at,
        seconds=reply.seconds,
        status=reply.status,
        detail=detail.rstrip('"'),
        wrong=wrong,
        news=news,
    )
