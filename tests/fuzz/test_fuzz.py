"""That the fuzzers find what is to be found, and repeat themselves; one short run of each side."""

from __future__ import annotations

import random

import pytest

from tests.fuzz.__main__ import SIDES, Batches
from tests.fuzz.answers import Answer, NotHttpError, parse_answers
from tests.fuzz.listener import corpus_of, judge
from tests.fuzz.mutate import mutate
from tests.fuzz.world import FindingError

CORPUS = corpus_of(["/files/pypi/h/a-1.0.tar.gz"])


@pytest.mark.slow
@pytest.mark.parametrize("side", SIDES)
def test_fuzz__finds_nothing(side: type) -> None:
    """A few batches of a fixed seed; `make fuzz` has new ones each time."""
    assert side(20261125).run(range(2)) > 40


def test_mutate__repeats_itself_and_changes() -> None:
    """The same seed is the same bytes; nearly every mutation changes something."""
    first, again = (
        [mutate(random.Random(n), CORPUS[n % len(CORPUS)], CORPUS) for n in range(300)]
        for _ in range(2)
    )
    assert first == again
    assert sum(one != CORPUS[n % len(CORPUS)] for n, one in enumerate(first)) > 280


def test_batches__one_or_until_the_time_is_over() -> None:
    """A batch may be named; otherwise there is at least one."""
    assert list(Batches(0, only=7)) == [7]
    assert list(Batches(0, only=None)) == [0]


WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"


def test_answers__are_told_apart() -> None:
    """Lengths, chunks, answers without a body, and one that is cut."""
    empty = b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n"
    found = parse_answers(WHOLE + CHUNKS + empty + WHOLE[:-1])
    assert [(one.status, one.body, one.whole) for one in found] == [
        (200, b"ok", True), (200, b"ok", True), (304, b"", True), (200, b"o", False),
    ]  # fmt: skip
    assert [one.body for one in parse_answers(WHOLE[:-2] + WHOLE, heads=True)] == [b"", b"ok"]


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK", b"HTTP/0.9 200 OK\r\n\r\n", b"HTTP/1.1 200 O\x07K\r\n\r\n",
        b"ok\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX y: z\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: y\nZ: z\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: y\r\nx: z\r\n\r\n", WHOLE + b"more", CHUNKS.replace(b"2", b"zz"),
        CHUNKS.replace(b"ok\r\n", b"ok!!"),
    ],
)  # fmt: skip
def test_answers__what_is_none(data: bytes) -> None:
    """What is no answer to the byte is a finding: a split answer, a header of others."""
    with pytest.raises(NotHttpError):
        parse_answers(data)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(500, {b"x-request-id": b"1"}, b"sorry", whole=True),
        Answer(504, {b"x-request-id": b"1"}, b"sorry", whole=True),
        Answer(502, {b"x-request-id": b"1"}, b"", whole=True),
        Answer(404, {}, b"nothing", whole=True),
        Answer(200, {b"set-cookie": b"a=b"}, b"", whole=True),
    ],
)
def test_judge__findings(answer: Answer) -> None:
    """A 500, an error without a word or an id, and headers that we never send."""
    with pytest.raises(FindingError):
        judge(answer, b"GET / HTTP/1.1\r\n\r\n")
