"""What `pypicached warm` sends over the control socket, and what it gets. Both ends speak these.

`POST /warm` with a `WarmRequest` answers with NDJSON of `WarmLine`: progress, then the result. They
are not in `pypicached.messages` because they hold what `requirements` read.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from pypicached.messages import Progress
from pypicached.requirements.model import Inputs

# plan: say what would be fetched; check: ask nobody, and say what is missing.
Mode = Literal["fetch", "plan", "check"]
Outcome = Literal["cached", "fetched", "would-fetch", "refused", "failed"]


class TargetNames(msgspec.Struct, frozen=True):
    """A Python and a platform, as they were named (`warm.targets.parse_target`)."""

    python: str
    platform: str


class WarmRequest(msgspec.Struct, kw_only=True):
    """What to have cached, and for whom; no `targets`: for this host.

    `top`: beside `inputs`, the newest of the projects that this host used most, without what they
    need. `detach`: the work goes on when the caller leaves.
    """

    inputs: Inputs = Inputs()
    targets: list[TargetNames] = []
    mode: Mode = "fetch"
    with_dependencies: bool = True
    with_sdists: bool = False
    pin: bool = False
    top: int = 0
    detach: bool = False


class WarmItem(msgspec.Struct):
    """One file that was asked for, or (without a file) something that cannot be had at all.

    `reason` says why it was refused or failed; several lines where it explains a conflict.
    """

    project: str
    version: str
    filename: str
    targets: list[str]
    outcome: Outcome
    reason: str
    size_bytes: int | None


class WarmAnswer(msgspec.Struct):
    """`pypicached warm`; `notes` are sentences about what was decided on the way.

    `left_out`: what would be installed but is on no index, so that not all of it is here.
    `detached`: the work goes on without the caller, and nothing else is known yet.
    """

    items: list[WarmItem]
    fetched_bytes: int
    seconds: float
    notes: list[str] = []
    left_out: list[str] = []
    detached: bool = False


class WarmLine(msgspec.Struct, omit_defaults=True):
    """One line of the NDJSON answer; exactly one member is set."""

    progress: Progress | None = None
    result: WarmAnswer | None = None
    error: str | None = None
