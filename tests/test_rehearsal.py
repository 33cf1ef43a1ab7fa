"""The rehearsal of an outage: what it takes for a broken promise, and what it tells of it."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench.rehearsal.asking import ask_for, ask_page
from bench.rehearsal.judging import Expected, judge
from bench.rehearsal.playing import wrong_in
from bench.rehearsal.seen import Answer, Install, Pages, Row, Seen
from bench.rehearsal.stage import WARMED, files_of, publish, publish_news
from bench.rehearsal.table import render, summary
from bench.rehearsal.words import short
from tests.fake.threaded import ThreadedFakeUpstream
from tests.fake.wheels import make_wheel

REFUSED = "index pypi: connection refused or unreachable"
ERROR = Answer(status=503, seconds=0.2, body="none", words=REFUSED, retry_after=1)
WELL = Install(code=0, seconds=1.0, said="")
FAILED = Install(code=1, seconds=6.0, said=f"503 {REFUSED}", output=f"(503 {REFUSED})")
SEEN = Seen(
    warmed={"pip": WELL, "uv": WELL},
    unknown={"pip": FAILED, "uv": FAILED},
    unknown_page=ERROR,
    cold={"tool-0.2.whl": ERROR, "lib-2.0.whl": ERROR},
    cached={"lib-2.1.whl": Answer(status=200, seconds=0.1, body="right")},
    pages=Pages(answers=100, stale=90, slowest_seconds=5.02),
    index_state="failing",
    index_error="connection refused or unreachable",
    failures=["page rare of index pypi: connection refused or unreachable"],
    recovered={"the page of lib": 4.0, "the unknown page": 2.0},
)
REMOVED = msgspec.structs.replace(
    SEEN,
    warmed={"uv": FAILED},
    unknown_page=Answer(status=404, seconds=0.1, body="none"),
    pages=Pages(answers=100, stale=0, slowest_seconds=0.1),
)


def test_judge__as_promised() -> None:
    """An outage that nobody notices gives no cause for complaint, and a removal neither."""
    assert judge(Expected(), SEEN) == []
    assert judge(Expected(pages="gone"), REMOVED) == []


def changed(record: Any, **changes: Any) -> Any:
    """Return the record with other values."""
    return msgspec.structs.replace(record, **changes)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"warmed": {"pip": FAILED}}, "pip did not install what is cached"),
        ({"warmed": {"pip": changed(WELL, wrong=["lib/x"])}}, "pip installed lib/x"),
        ({"unknown": {"uv": WELL}}, "did not strike"),
        ({"unknown": {"pip": changed(FAILED, seconds=31.0)}}, "pip took 31 s"),
        ({"unknown": {"pip": changed(FAILED, code=None)}}, "pip took 6 s"),
        ({"unknown": {"uv": changed(FAILED, output="503 Nope")}}, "uv does not show the reason"),
        (
            {"unknown": {"uv": changed(FAILED, output=f"404 Not Found {REFUSED}")}},
            "does not exist",
        ),
        ({"unknown_page": changed(ERROR, status=404)}, "the unknown page was 404"),
        ({"unknown_page": changed(ERROR, status=504)}, "the unknown page was 504"),
        ({"unknown_page": changed(ERROR, seconds=11.5)}, "took 11.5 s to fail"),
        ({"unknown_page": changed(ERROR, words="oops")}, "no reason of ours: oops"),
        ({"unknown_page": changed(ERROR, retry_after=3)}, "Retry-After: 3"),
        ({"unknown_page": changed(ERROR, retry_after=None)}, "Retry-After: None"),
        ({"cold": {"x.whl": Answer(status=200, seconds=1.0, body="wrong")}}, "whole, and wrong"),
        ({"cold": {"x.whl": Answer(status=404, seconds=1.0, body="none")}}, "x.whl was 404"),
        ({"pages": changed(SEEN.pages, slowest_seconds=6.0)}, "slowest page took 6.0 s"),
        ({"pages": changed(SEEN.pages, stale=0)}, "no page was stale"),
        ({"pages": changed(SEEN.pages, failed=["page lib: 503"])}, "page lib: 503"),
        ({"index_state": "ok"}, 'the index "ok"'),
        ({"index_error": ""}, "not failing, and why"),
        ({"recovered": {"the page of lib": None}}, "the page of lib was not right again"),
    ],
)
def test_judge__broken_promise(changes: dict[str, Any], problem: str) -> None:
    """Each promise that is broken is told, once."""
    problems = judge(Expected(), changed(SEEN, **changes))
    assert len(problems) == 1, problems
    assert problem in problems[0]


@pytest.mark.parametrize("body", ["broken", "unfinished"])
def test_judge__file_that_ends_early(body: str) -> None:
    """A file that has begun may break off, or not end: the client sees that it is not whole."""
    cold = {"lib-2.0.whl": Answer(status=200, seconds=1.0, body=body)}
    assert judge(Expected(), changed(SEEN, cold=cold)) == []


def test_judge__files_alone() -> None:
    """While pages can be had none need be stale; that a file failed must be in status."""
    seen = changed(SEEN, pages=changed(SEEN.pages, stale=0), index_state="ok")
    assert judge(Expected(pages="reachable"), seen) == []
    (problem,) = judge(Expected(pages="reachable"), changed(seen, failures=[]))
    assert "no failure of a file" in problem


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"warmed": {"uv": WELL}}, "uv installed what upstream says is gone"),
        ({"unknown_page": ERROR}, "the unknown page was 503"),
        ({"cached": {"x.whl": Answer(status=404, seconds=0.1, body="none")}}, "x.whl was 404"),
    ],
)
def test_judge__removal(changes: dict[str, Any], problem: str) -> None:
    """Removed is 404 and nothing else; what is cached answers at its own URL."""
    (told,) = judge(Expected(pages="gone"), changed(REMOVED, **changes))
    assert problem in told


@pytest.mark.parametrize(
    ("tool", "errors", "words"),
    [
        (
            "uv",
            "error: Failed to fetch: `http://127.0.0.1:1/simple/rare/`\n"
            "  Caused by: HTTP status server error (503 index pypi: connection reset) for url (…)",
            "503 index pypi: connection reset",
        ),
        (
            "uv",
            "  No solution found when resolving dependencies:\n"
            "  Because rare was not found in the package\n      registry and you require rare",
            "not found",
        ),
        (
            "pip",
            "WARNING: Retrying (Retry(total=4)) after connection broken\n"
            "ERROR: Could not find a version that satisfies rare (from versions: none)\n"
            "ERROR: No matching distribution found for rare",
            '"from versions: none"',
        ),
        (
            "pip",
            "ERROR: Could not install packages due to an OSError: HTTPConnectionPool(…): Max "
            "retries exceeded (Caused by ResponseError('too many 502 error responses'))",
            "too many 502 error responses",
        ),
        ("pip", "ERROR: " + "x" * 99, "x" * 59 + "…"),
        ("uv", "", "nothing"),
    ],
)
def test_short(tool: str, errors: str, words: str) -> None:
    """What a client said is cut down to the words that name the reason."""
    assert short(tool, errors) == words


def test_table() -> None:
    """A line per scenario, with what was not as promised or not tried, and a count at the end."""
    rows = [
        Row(scenario="refused", title="nobody listens", seen=SEEN),
        Row(scenario="hang", title="never answers", seen=SEEN, problems=["uv took 46 s"]),
        Row(scenario="clock", title="jumps", not_tried="needs libfaketime"),
        Row(scenario="dns", title="unknown", problems=["the rehearsal itself broke"]),
    ]
    lines = render(rows, ("pip", "uv")).splitlines()
    refused = next(line for line in lines if line.startswith("refused"))
    columns = ["refused", "ok 1.0 s", "ok 1.0 s", "5020 ms", "90 of 100", "4.0 s", "as promised"]
    assert " ".join(refused.split()) == " ".join(columns)
    assert "    ! uv took 46 s" in lines
    assert any(line.endswith("not tried: needs libfaketime") for line in lines)
    assert any(line.startswith("dns") and line.endswith("BROKEN") for line in lines)
    assert summary(rows, 61.4) == "1 of 4 as promised in 61 s, 1 not tried"


def test_wrong_in__installed(tmp_path: Path) -> None:
    """A file of a wheel that is missing, or has other bytes, is told."""
    wheel = make_wheel("alpha", "1.0", size_bytes=5_000)
    with zipfile.ZipFile(io.BytesIO(wheel.body)) as archive:
        archive.extractall(tmp_path)
    assert wrong_in(tmp_path, wheel) == []
    (tmp_path / "alpha/padding.bin").write_bytes(b"other")
    (tmp_path / "alpha/__init__.py").unlink()
    assert {line.split()[0] for line in wrong_in(tmp_path, wheel)} == {
        "alpha/padding.bin",
        "alpha/__init__.py",
    }


def test_ask_for__what_a_body_is() -> None:
    """A whole body is told from a broken one, the right one from another, an error from both."""
    wheel = make_wheel("alpha", "1.0", size_bytes=5_000)
    with ThreadedFakeUpstream(separate_files=False) as upstream:
        upstream.add("alpha", wheel)
        path = upstream.url_of(wheel).removeprefix(upstream.pages_origin)
        verdicts = []
        faults: list[tuple[str, dict[str, Any]]] = [
            ("delay", {"seconds": 0}),
            ("wrong_bytes", {}),
            ("close_after", {"n": 100}),
            ("reset", {}),
            ("status", {"code": 503, "body": b"why\nnot", "headers": {"Retry-After": "1"}}),
        ]
        for kind, arguments in faults:
            upstream.fault("*.whl", kind, times=1, **arguments)
            verdicts.append(ask_for(upstream.pages_origin, path, wheel.body))
    assert [(v.status, v.body) for v in verdicts] == [
        (200, "right"),
        (200, "wrong"),
        (200, "broken"),
        (0, "none"),
        (503, "none"),
    ]
    assert (verdicts[-1].words, verdicts[-1].retry_after) == ("why", 1)


def test_ask_page__as_published() -> None:
    """A page that lists what is published is right, with or without the news; others are not."""
    project = next(iter(WARMED))
    with ThreadedFakeUpstream() as upstream:
        publish(upstream)
        before = ask_page(upstream.pages_origin, project)
        publish_news(upstream)
        after = ask_page(upstream.pages_origin, project)
        upstream.remove(project, files_of(project)[0].filename)
        less = ask_page(upstream.pages_origin, project)
    assert [(a.status, bool(a.wrong), a.news) for a in (before, after, less)] == [
        (200, False, False),
        (200, False, True),
        (200, True, True),
    ]
