"""When a failing host is left alone, and how it comes back (rule 46)."""

from __future__ import annotations

import pytest

from pypicached.upstream.breaker import (
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    MAX_SUBJECTS,
    NEEDED,
    PROBE_SECONDS,
    QUIET_SECONDS,
    Breaker,
    Failure,
)


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        """Return the moment."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(clock)


def fail(breaker: Breaker, failure: Failure = "answered") -> None:
    """Let as many different pages fail as it takes."""
    for number in range(NEEDED[failure]):
        breaker.failed(failure, f"/p{number}/")


def probe(breaker: Breaker, subject: str) -> None:
    """Let a probe through that fails."""
    breaker.admit(subject)
    breaker.failed("answered", subject, probing=True)


@pytest.mark.parametrize("failure", NEEDED)
def test_breaker__rule_46_opens_after_enough(breaker: Breaker, failure: Failure) -> None:
    """So many different failures as their kind needs open it, not one fewer; the last one tells."""
    opened = [breaker.failed(failure, f"/{n}/") for n in range(NEEDED[failure])]
    assert opened == [False] * (NEEDED[failure] - 1) + [True]
    assert (breaker.open, breaker.closed_to("/0/"), breaker.closed_to("/x/")) == (True, True, True)


@pytest.mark.parametrize("failure", ["silent", "answered"])
def test_breaker__rule_46_one_page_that_always_fails(breaker: Breaker, failure: Failure) -> None:
    """One page may fail as often as it likes: the host is asked for the others."""
    for _ in range(100):
        breaker.failed(failure, "/simple/broken/")
    assert not breaker.open


def test_breaker__unreachable_counts_attempts(breaker: Breaker) -> None:
    """What cannot be reached is unreachable for every page: two attempts for one page do."""
    opened = [breaker.failed("unreachable", "/simple/one/") for _ in range(2)]
    assert opened == [False, True]


def test_breaker__success_in_between(breaker: Breaker, clock: Clock) -> None:
    """Failures count from the last success on."""
    breaker.failed("silent", "/a/")
    breaker.succeeded()
    clock.now += QUIET_SECONDS
    breaker.failed("silent", "/b/")
    assert not breaker.open


def test_breaker__many_at_one_moment(breaker: Breaker, clock: Clock) -> None:
    """A host that answered a moment ago is not gone, however many requests fail right now."""
    breaker.succeeded()
    clock.now += QUIET_SECONDS - 0.1
    opened = [breaker.failed("answered", f"/simple/p{number}/") for number in range(32)]
    assert not any(opened)
    clock.now += 0.1
    assert breaker.failed("answered", "/one more/") is True


def test_breaker__rule_46_one_probe_at_a_time(breaker: Breaker, clock: Clock) -> None:
    """After the pause one request is let through, and nobody else until it has told."""
    fail(breaker)
    clock.now += FIRST_PAUSE_SECONDS
    closed = [breaker.closed_to("/x/"), breaker.admit("/x/"), breaker.closed_to("/y/")]
    assert closed == [False, True, True]
    assert breaker.succeeded() is True
    assert (breaker.open, breaker.closed_to("/y/"), breaker.admit("/y/")) == (False, False, False)


def test_breaker__rule_46_what_failed_is_in_nobodys_way(breaker: Breaker, clock: Clock) -> None:
    """Pages that have failed probe by themselves: one that has not may find the host to be well."""
    fail(breaker, "silent")
    clock.now += FIRST_PAUSE_SECONDS
    breaker.admit("/p0/")
    assert [breaker.closed_to(page) for page in ("/p0/", "/p1/", "/good/")] == [True, True, False]
    assert breaker.admit("/good/") is True
    assert breaker.succeeded() is True


def test_breaker__a_probe_that_hangs(breaker: Breaker, clock: Clock) -> None:
    """A probe that tells nothing for a while is not in the way of the next one."""
    fail(breaker)
    clock.now += FIRST_PAUSE_SECONDS
    breaker.admit("/x/")
    clock.now += PROBE_SECONDS - 0.1
    closed = [breaker.closed_to("/y/")]
    clock.now += 0.1
    closed.append(breaker.closed_to("/y/"))
    assert closed == [True, False]


def test_breaker__rule_46_pauses_grow(breaker: Breaker, clock: Clock) -> None:
    """Each probe that fails doubles the pause, up to 30 s; a success forgets them."""
    fail(breaker)
    pauses = []
    for number in range(8):
        pauses.append(breaker.pause_left)
        clock.now += breaker.pause_left
        probe(breaker, f"/probe{number}/")
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]
    breaker.succeeded()
    clock.now += QUIET_SECONDS
    fail(breaker)
    assert breaker.pause_left == FIRST_PAUSE_SECONDS


@pytest.mark.parametrize("later", [0.5, FIRST_PAUSE_SECONDS, 20.0])
def test_breaker__latecomers(breaker: Breaker, clock: Clock, later: float) -> None:
    """Requests from before the pause that fail in it, or after it, do not lengthen it."""
    fail(breaker)
    clock.now += later
    breaker.failed("silent", "/late/")
    assert breaker.pause_left == max(0.0, FIRST_PAUSE_SECONDS - later)


def test_breaker__probe_withdrawn(breaker: Breaker, clock: Clock) -> None:
    """A probe that was cancelled before it told anything leaves its place to the next one."""
    fail(breaker)
    clock.now += FIRST_PAUSE_SECONDS
    breaker.admit("/x/")
    breaker.withdrawn("/x/")
    assert (breaker.open, breaker.closed_to("/y/")) == (True, False)


@pytest.mark.parametrize(("asked", "pause"), [(1.0, 1.0), (7.0, 7.0), (3600.0, 30.0)])
def test_breaker__asked_to_wait(breaker: Breaker, clock: Clock, asked: float, pause: float) -> None:
    """A host that asks two pages for time is believed at once, within our own bound."""
    breaker.succeeded()
    assert breaker.failed("busy", "/a/", ask_again=asked) is False
    assert breaker.failed("busy", "/a/", ask_again=asked) is False  # one page's matter
    assert breaker.failed("busy", "/b/", ask_again=asked) is True
    assert breaker.pause_left == pause
    clock.now += pause
    assert not breaker.closed_to("/c/")


@pytest.mark.parametrize("jump", [-86400.0, 86400.0])
def test_breaker__clock_jump(breaker: Breaker, clock: Clock, jump: float) -> None:
    """A clock that is set ends a pause at the most: the host is probed."""
    fail(breaker)
    clock.now += jump
    assert not breaker.closed_to("/x/")
    breaker.admit("/x/")
    assert breaker.succeeded()


def test_breaker__is_bounded(breaker: Breaker, clock: Clock) -> None:
    """It remembers some failures, however many different pages are asked for."""
    for number in range(10_000):
        clock.now += LONGEST_PAUSE_SECONDS
        probe(breaker, f"/{number}/")
        breaker.failed("busy", f"/{number}/")
    assert max(len(breaker._failed), len(breaker._busy)) <= MAX_SUBJECTS
