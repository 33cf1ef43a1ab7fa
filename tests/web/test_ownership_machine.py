"""Who answers for a name, whatever indexes and operator do in whatever order (rule 63).

Two sentences of PRODUCT.md section 5 hold after every step: a name that an index claims by
`projects` is in nobody else's record; and of indexes in file order, the turn goes up when one
further up gains the project, and never down, until `invalidate`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar, cast

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pypicached.messages import InvalidateRequest, PruneRequest
from tests.harness import JSON, Clock, Running
from tests.web.rivals import Index, before, rivals

T = TypeVar("T")

OWNED, SHARED = "acme-tool", "both"
# As they stand in the file; the claim is in the middle, where order alone would not do.
ORDER = ("first", "own", "second")
KEYS: dict[str, dict[str, object]] = {"own": {"projects": ["acme-*"]}}

indexes = st.sampled_from(ORDER)
names = st.sampled_from((OWNED, SHARED))
prefixes = st.sampled_from(("", *(f"/{name}" for name in ORDER)))


class OwnershipMachine(RuleBasedStateMachine):
    """One cache directory in front of three indexes, through several lives of its daemon."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="own-"))
        self.runner = asyncio.Runner()
        self.clock = Clock()
        self.world = contextlib.AsyncExitStack()
        made = self.do(self.world.enter_async_context(rivals(*ORDER)))
        self.indexes: dict[str, Index] = {one.name: one for one in made}
        # How far down the file the index stands that answered for SHARED last.
        self.reached = len(ORDER)
        self.start()

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something to its end."""
        return self.runner.run(work)

    def start(self) -> None:
        """Start a daemon."""
        self.life = contextlib.AsyncExitStack()
        running = before(self.root, *self.indexes.values(), clock=self.clock, keys=KEYS)
        self.daemon: Running = self.do(self.life.enter_async_context(running))

    def teardown(self) -> None:
        """Leave nothing behind."""
        self.do(self.life.aclose())
        self.do(self.world.aclose())
        self.runner.close()
        shutil.rmtree(self.root)

    # ── what indexes do ──────────────────────────────────────────────────────────────────────

    @rule(index=indexes, name=names)
    def publish(self, index: str, name: str) -> None:
        """An index gains a project."""
        self.indexes[index].publish(name)

    @rule(index=indexes, name=names)
    def remove(self, index: str, name: str) -> None:
        """An index loses a project, if it has it."""
        with contextlib.suppress(KeyError):
            self.indexes[index].upstream.remove(name)

    @rule(index=indexes, code=st.sampled_from((500, 403, 429)))
    def fail(self, index: str, code: int) -> None:
        """An index fails from now on."""
        self.indexes[index].upstream.fault("*", "status", code=code)

    @rule(index=indexes)
    def heal(self, index: str) -> None:
        """An index is well."""
        self.indexes[index].upstream.heal()

    # ── what the operator does ───────────────────────────────────────────────────────────────

    @rule(seconds=st.sampled_from((11, 61, 700)))
    def wait(self, seconds: int) -> None:
        """Time passes: beyond a breaker's pause, `negative_ttl`, `page_ttl`."""
        self.clock.advance(seconds)

    @rule()
    def restart(self) -> None:
        """The daemon is started anew."""
        self.do(self.life.aclose())
        self.start()

    @rule()
    def switch(self) -> None:
        """Offline, or online again."""
        self.daemon.parts.offline.on = not self.daemon.parts.offline.on

    @rule()
    def prune(self) -> None:
        """All pages go."""

        async def prune() -> None:
            async for _ in self.daemon.parts.keeping.prune(PruneRequest(days=0)):
                pass

        self.do(prune())

    @rule()
    def forget_absence(self) -> None:
        """What the daemon does every half minute."""
        self.do(self.daemon.parts.ledger.pages.drop_absent(self.clock() - 60))

    @rule(name=names)
    def invalidate(self, name: str) -> None:
        """The one thing by which a name may pass on to an index further down."""
        self.do(self.daemon.parts.keeping.invalidate(InvalidateRequest(projects=[name])))
        if name == SHARED:
            self.reached = len(ORDER)

    # ── what clients do ──────────────────────────────────────────────────────────────────────

    @rule(name=names, prefix=prefixes, forced=st.booleans())
    def ask_page(self, name: str, prefix: str, forced: bool) -> None:
        """A page is the owner's, or there is none."""
        headers = {"Accept": JSON, **({"Cache_Control": "no-cache"} if forced else {})}
        reply = self.do(self.daemon.ask(f"{prefix}/simple/{name}/", **headers))
        assert reply.status in (200, 404, 502, 503)
        if reply.status != 200:
            return
        links = [file["url"].partition("files/")[2] for file in json.loads(reply.body)["files"]]
        for index in (link.partition("/")[0] for link in links):
            assert prefix in ("", f"/{index}")
            if name == OWNED:
                assert index == "own"
            else:
                assert ORDER.index(index) <= self.reached
                self.reached = ORDER.index(index)

    @rule(name=names, index=indexes)
    def ask_file(self, name: str, index: str) -> None:
        """A file is asked for by its URL."""
        reply = self.do(self.daemon.ask(f"/files/{index}/{self.indexes[index].path_of(name)}"))
        assert reply.status in (200, 404, 502, 503)
        if name == OWNED and index != "own":
            assert reply.status != 200

    @rule()
    def ask_list(self) -> None:
        """The list names no index's strays."""
        reply = self.do(self.daemon.ask("/first/simple/", Accept=JSON))
        assert reply.status in (200, 404, 502, 503)
        assert OWNED.encode() not in reply.body

    @invariant()
    def nobody_else_knows(self) -> None:
        """Rule 63."""
        assert not [
            one.name for one in self.indexes.values() if one.name != "own" and one.told("acme")
        ]
        assert not self.indexes["own"].told(SHARED)


# The same examples each time; only a failure takes long: it is made as small as it can be.
TestOwnership = pytest.mark.timeout(300)(cast("type[Any]", OwnershipMachine.TestCase))
TestOwnership.settings = settings(
    max_examples=20,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
