"""Jobs beside each other: how many there may be, and that one that is left ends."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from pypicached.errors import PypicachedError
from pypicached.messages import Progress
from pypicached.requirements.model import Inputs, Wish
from pypicached.warm import warming
from pypicached.warm.messages import WarmAnswer, WarmRequest
from tests.cache.client import until
from tests.fake import FakeUpstream, make_wheel
from tests.harness import Running, running


def begin(daemon: Running, *, detach: bool) -> AsyncGenerator[Progress | WarmAnswer, None]:
    request = WarmRequest(inputs=Inputs(wishes=(Wish("alpha"),)), detach=detach)
    return daemon.parts.warming.run(request)


@pytest.mark.parametrize("detach", [False, True])
async def test_warming__bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, detach: bool
) -> None:
    """One more than there may be is refused in words; once one has ended there is room again."""
    monkeypatch.setattr(warming, "MAX_JOBS", 2)
    async with (
        FakeUpstream() as upstream,
        running(tmp_path, upstream.url) as daemon,
        contextlib.AsyncExitStack() as stack,
    ):
        upstream.add("alpha", make_wheel("alpha", "1.0"))
        gate = upstream.hold("/simple/alpha/")
        jobs = []
        for _ in range(2):
            jobs.append(begin(daemon, detach=detach))
            await stack.enter_async_context(contextlib.aclosing(jobs[-1]))
            await anext(jobs[-1])
        with pytest.raises(PypicachedError, match="2 warms are under way"):
            await anext(begin(daemon, detach=detach))
        if detach:
            gate.open()
        else:
            await jobs[0].aclose()  # its caller left
        await until(lambda: len(daemon.parts.warming._jobs) < 2)
        last = await stack.enter_async_context(contextlib.aclosing(begin(daemon, detach=True)))
        assert isinstance(await anext(last), WarmAnswer)
