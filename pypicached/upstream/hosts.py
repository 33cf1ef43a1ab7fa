"""The hosts that an index leads to: turns for requests, a breaker each, and what is known of them.

Kept per index: what one index's proxy, certificates or credentials meet says nothing of another
index. A host's breaker opening and closing is one log line each, however many requests see it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator

from yarl import URL

from pypicached.errors import (
    AddressRefusedError,
    NotFoundError,
    OfflineError,
    RefusedError,
    UpstreamBusyError,
    UpstreamPausedError,
    UpstreamUnavailableError,
    UpstreamUnreachableError,
)
from pypicached.logs import event
from pypicached.upstream.breaker import FIRST_PAUSE_SECONDS, Breaker, Failure
from pypicached.upstream.latency import Latency

logger = logging.getLogger(__name__)

# Requests under way at once towards one host; more wait for their turn.
TURNS = 32
# An index leads to a few hosts; pages of a hostile one may name any number.
MAX_HOSTS = 64


class Host:
    """One host, by name and port. Single-threaded; any number of tasks."""

    def __init__(self, index: str, name: str, *, own: bool, now: Callable[[], float]) -> None:
        self.name = name
        # Whether the index itself lives there, and not only files of it.
        self.own = own
        self.breaker = Breaker(now)
        self.latency = Latency()
        self.last_error: str | None = None
        self.failing_since: float | None = None
        self.active = 0
        # For a probe when nobody asks: what went well last says more than what did not.
        self.last_succeeded: URL | None = None
        self.last_failed: URL | None = None
        self.succeeded_at = float("-inf")
        self.asked_at = float("-inf")
        # How often what was asked had to be forgotten: what was begun before is not remembered.
        self.epoch = 0
        self._index = index
        self._now = now
        # Pages and sidecars have turns of their own: slow files must not keep them waiting.
        self._turns = {files: asyncio.Semaphore(TURNS) for files in (False, True)}

    @contextlib.asynccontextmanager
    async def turn(self, url: URL, *, files: bool, by_head: bool) -> AsyncIterator[Turn]:
        """Wait for a turn to ask `url`; what becomes of it is told to the breaker.

        `by_head`: the head of an answer is success, else only its end is. Raises
        UpstreamPausedError while the host is left alone, also for those who wait when that begins.
        """
        subject = url.raw_path
        self._check(subject)
        async with self._turns[files]:
            self._check(subject)
            turn = Turn(self, url, by_head=by_head, probing=self.breaker.admit(subject))
            self.active += 1
            self.asked_at = self._now()
            try:
                yield turn
                turn.ended()
            except UpstreamUnavailableError as error:
                turn.broke_off(error)
                raise
            except (AddressRefusedError, OfflineError, NotFoundError, RefusedError):
                raise  # it was not asked: neither well nor ill is known of it
            except Exception:
                turn.ended()  # it answered: what its answer was worth is not the host's matter
                raise
            finally:
                self.active -= 1
                turn.withdrawn()

    @property
    def idle_seconds(self) -> float:
        """Seconds since it was asked last."""
        return self._now() - self.asked_at

    @property
    def doubtful(self) -> bool:
        """Whether its last word was a failure, be it held to fail or not."""
        return self.breaker.open or self.last_failed is not None

    def _check(self, subject: str) -> None:
        if self.breaker.closed_to(subject):
            where = "" if self.own else f"{self.name}: "
            # A probe that is under way has no set time.
            raise UpstreamPausedError(
                self._index,
                f"{where}{self.last_error}"[:45] + "; asked again soon",
                retry_after=self.breaker.pause_left or FIRST_PAUSE_SECONDS,
            )

    def forget_urls(self) -> None:
        """Forget what was asked, also what is being asked now."""
        self.epoch += 1
        self.last_succeeded = self.last_failed = None

    def succeeded(self, had: URL | None) -> None:
        """It answered: whatever was held against it is forgotten. `had`: what a probe may ask."""
        self.last_succeeded = had or self.last_succeeded
        self.last_failed = None
        self.succeeded_at = self._now()
        if self.breaker.succeeded():
            seconds = self._now() - (self.failing_since or self._now())
            self._tell(f"answers again after {seconds:.0f} s")
        self.failing_since = None

    def failed(
        self,
        error: UpstreamUnavailableError,
        url: URL,
        *,
        answered: bool,
        probing: bool,
        remembered: bool,
    ) -> None:
        """A request failed; `answered`: with an answer that says so; `remembered`: for probes."""
        self.last_error = error.reason
        if remembered:
            self.last_failed = url
        failure: Failure = "answered" if answered else "silent"
        asked = None
        if isinstance(error, UpstreamUnreachableError):
            failure = "unreachable"
        elif isinstance(error, UpstreamBusyError):
            failure, asked = "busy", error.retry_after
        if self.breaker.failed(failure, url.raw_path, probing=probing, ask_again=asked):
            self.failing_since = self._now()
            self._tell(f"is failing: {error.reason}")

    def _tell(self, what: str) -> None:
        who = f"index {self._index}" + ("" if self.own else f": its file host {self.name}")
        event(logger, logging.WARNING, f"{who} {what}", index=self._index, host=self.name)


class Turn:
    """One request's stay with a host; what became of it is told once."""

    def __init__(self, host: Host, url: URL, *, by_head: bool, probing: bool) -> None:
        self._host = host
        self._url = url
        self._by_head = by_head
        self._probing = probing
        self._told = False
        self._had = False
        self._epoch: int | None = host.epoch

    def keep_from_probes(self) -> None:
        """Nobody is to ask for the same because this request did."""
        self._epoch = None

    @property
    def _remembered(self) -> bool:
        return self._epoch == self._host.epoch

    def answered(
        self, seconds: float, failure: UpstreamUnavailableError | None, *, had: bool
    ) -> None:
        """The head of an answer came after `seconds`; `failure` if it says 429 or 5xx.

        `had`: it is, or leads to, what was asked for.
        """
        self._had = had
        self._host.latency.observe(seconds)
        if failure is not None:
            self._fail(failure, answered=True)
        elif self._by_head:
            self.ended()

    def ended(self) -> None:
        """All of it came that was wanted."""
        if not self._told:
            self._told = True
            self._host.succeeded(self._url if self._had and self._remembered else None)

    def broke_off(self, error: UpstreamUnavailableError) -> None:
        """No answer came, or not all of it."""
        if not self._told:
            self._fail(error, answered=False)

    def _fail(self, error: UpstreamUnavailableError, *, answered: bool) -> None:
        self._told = True
        self._host.failed(
            error,
            self._url,
            answered=answered,
            probing=self._probing,
            remembered=self._remembered,
        )

    def withdrawn(self) -> None:
        """Its task is done with it, perhaps by being cancelled: let another one probe."""
        if self._probing and not self._told:
            self._host.breaker.withdrawn(self._url.raw_path)


class Hosts:
    """The hosts of one index, the most recently asked ones of them."""

    def __init__(self, index: str, own: URL, now: Callable[[], float] = time.time) -> None:
        self._index = index
        self._now = now
        self._own = _name(own)
        self._hosts: OrderedDict[str, Host] = OrderedDict()

    def __iter__(self) -> Iterator[Host]:
        return iter(list(self._hosts.values()))

    @property
    def own(self) -> Host:
        """The host that the index itself lives on."""
        return self._get(self._own)

    def of(self, url: URL) -> Host:
        """Return the host of a URL."""
        return self._get(_name(url))

    def forget_urls(self) -> None:
        """Forget what was asked last: a probe must not ask for what may be another index's now."""
        for host in self._hosts.values():
            host.forget_urls()

    def _get(self, name: str) -> Host:
        host = self._hosts.get(name)
        if host is None:
            host = Host(self._index, name, own=name == self._own, now=self._now)
            self._hosts[name] = host
            self._drop_idle()
        self._hosts.move_to_end(name)
        return host

    def _drop_idle(self) -> None:
        """Forget the longest unused hosts beyond the bound, but for those that are in use."""
        for name, host in list(self._hosts.items())[:-1]:
            if len(self._hosts) <= MAX_HOSTS:
                return
            if not host.active and not host.own:
                del self._hosts[name]


def _name(url: URL) -> str:
    """Return host and port, as a person writes them: without the port that goes without saying."""
    return url.host_port_subcomponent or ""
