"""Whether upstreams are left alone by the operator's word."""

from __future__ import annotations


class Offline:
    """One switch for all indexes of a daemon, which a command may turn at any time.

    Transfers that run when it is turned on may end; nothing new is asked.
    """

    def __init__(self, *, on: bool = False) -> None:
        self.on = on
