"""`pypicached offline on|off`: stop or resume asking upstreams, while the daemon runs."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from pypicached.cli.options import JsonOption, SocketOption, connect
from pypicached.cli.terminal import count, print_json, print_line


class Switch(Enum):
    """What may be said."""

    ON = "on"
    OFF = "off"


def offline(
    switch: Annotated[Switch, typer.Argument(metavar="on|off", show_default=False)],
    as_json: JsonOption = False,
    socket: SocketOption = None,
) -> None:
    """Serve only what is cached ("on"), or ask upstreams again ("off"), until the next start.

    What is to hold after a restart too is `offline = true` under [cache].
    """
    from pypicached.messages import OfflineRequest

    answer = connect(socket).offline(OfflineRequest(switch is Switch.ON))
    if as_json:
        print_json(answer)
        return
    already = " already" if answer.offline == answer.was_offline else ""
    if not answer.offline:
        print_line(f"upstreams are asked{already}")
        return
    print_line(f"upstreams are{already} not asked: only what is cached is listed and served")
    if answer.downloads:
        print_line(f"{count(answer.downloads, 'download')} under way may end")
