"""The outages that are rehearsed, in the order of the table."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec

from bench.rehearsal.clock import jumping
from bench.rehearsal.judging import Expected
from bench.rehearsal.names import unresolvable
from bench.rehearsal.stage import Pattern, Stage, lapsed, refused, struck_by
from bench.rehearsal.tls import expiring
from tests.fake.wire import Request


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One outage: `open` makes its stage in an empty directory. `quick`: part of the short form."""

    name: str
    title: str
    open: Callable[[Path], AbstractContextManager[Stage]]
    expected: Expected = Expected()
    quick: bool = False


def _of_files(request: Request) -> bool:
    return request.origin == "files"


def _fault(
    kind: str, pattern: Pattern = "*", **arguments: object
) -> Callable[[Path], AbstractContextManager[Stage]]:
    faults: list[tuple[Pattern, str, Mapping[str, object]]] = [(pattern, kind, arguments)]
    if kind == "throttle":
        # A 304 has no body that could drip.
        faults.append((pattern, "change_etag", {}))
    return lambda directory: struck_by(directory, *faults)


# Those that take longest stand first, so that the others run beside them.
SCENARIOS = (
    Scenario(
        name="hang",
        title="accepts every request, never answers",
        open=_fault("hang"),
        quick=True,
    ),
    Scenario(
        name="drip",
        title="every body comes a byte a second",
        open=_fault("throttle", rate=1),
    ),
    Scenario(
        name="files-hang",
        title="the file host alone never answers",
        open=_fault("hang", _of_files),
        expected=Expected(pages="reachable"),
    ),
    Scenario(
        name="dns-hang",
        title="the name server does not answer",
        open=functools.partial(unresolvable, mute=True),
    ),
    Scenario(
        name="dns",
        title="the index's name is not known",
        open=functools.partial(unresolvable, mute=False),
    ),
    Scenario(
        name="reset",
        title="every request is answered with RST",
        open=_fault("reset"),
    ),
    Scenario(
        name="refused",
        title="nobody listens",
        open=refused,
        quick=True,
    ),
    Scenario(
        name="503",
        title="503 for everything",
        open=_fault("status", code=503),
        quick=True,
    ),
    Scenario(
        name="429",
        title="429 for everything, Retry-After: 10",
        open=_fault("status", code=429, headers={"Retry-After": "10"}),
    ),
    Scenario(
        name="401",
        title="the daemon's password has lapsed",
        open=lapsed,
    ),
    Scenario(
        name="404",
        title="404 for everything: removed, no outage",
        open=_fault("status", code=404),
        expected=Expected(pages="gone"),
        quick=True,
    ),
    Scenario(
        name="wrong-bytes",
        title="a byte of every file is wrong",
        open=_fault("wrong_bytes", "*.whl"),
        expected=Expected(pages="reachable"),
        quick=True,
    ),
    Scenario(
        name="certificate",
        title="the index's certificate has expired",
        open=expiring,
    ),
    Scenario(
        name="clock-forward",
        title="down, and the daemon's clock jumps a day on",
        open=functools.partial(jumping, jump="+1d"),
    ),
    Scenario(
        name="clock-back",
        title="down, and the daemon's clock jumps a day back",
        open=functools.partial(jumping, jump="-1d"),
    ),
)
