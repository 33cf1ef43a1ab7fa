"""Why the service does not answer: what systemd knows of it, in a sentence.

systemd holds the control socket open also while the daemon behind it cannot start.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pypicached import dropins
from pypicached.cli.service import Facts, show
from pypicached.control.exchange import Silence
from pypicached.errors import clean
from pypicached.systemd import FAILED

JOURNAL = "`journalctl -u pypicached -n 20`"
_STATE = ("ActiveState", "SubState", "Result", "ExecMainStatus", "StatusText")


class Watch:
    """Explains why nobody answers on the system's socket, which systemd holds open by itself.

    For one command. `tell` is given a sentence, once each, about what is worth waiting for.
    """

    def __init__(self, socket: Path, tell: Callable[[str], None]) -> None:
        self._socket = socket
        self._tell = tell
        self._told: set[str] = set()

    def __call__(self, socket: Path) -> Silence:
        """Return what is known of the daemon behind `socket`; nothing if it is not the service."""
        if socket != self._socket:
            return Silence()
        facts = show(dropins.SERVICE_UNIT, *_STATE)
        match (_value(facts, "ActiveState"), _value(facts, "SubState")):
            case ("", _):
                return Silence()
            case ("failed", _) | (_, "auto-restart"):
                return Silence(f"{dropins.SERVICE_UNIT} does not start{_why(facts)}")
            case ("inactive", _):
                return Silence(
                    f"{dropins.SERVICE_UNIT} does not run: "
                    f"`systemctl status {dropins.SERVICE_UNIT}` says why"
                )
            case ("activating", _):
                self._tell_once(_value(facts, "StatusText"))
                return Silence(starting=True)
            case _:
                return Silence(advice=f"{JOURNAL} may say why")

    def _tell_once(self, status: str) -> None:
        what = f"{dropins.SERVICE_UNIT} is starting" + (f": {status}" if status else "")
        if what not in self._told:
            self._told.add(what)
            self._tell(what)


def _value(facts: Facts, name: str) -> str:
    return facts.get(name, [""])[0]


def _why(facts: Facts) -> str:
    """Return why the last attempt failed: in the daemon's own words, else how it ended."""
    status = _value(facts, "StatusText")
    if status.startswith(FAILED):
        return f": {clean(status.removeprefix(FAILED), limit=500)}"
    return f"{_ending(facts)}: {JOURNAL} says why"


def _ending(facts: Facts) -> str:
    """Return how the last attempt ended, in parentheses; "" if that is not known."""
    match _value(facts, "Result"):
        case "exit-code":
            return f" (exit code {_value(facts, 'ExecMainStatus')})"
        case "signal" | "core-dump":
            return f" (killed by signal {_value(facts, 'ExecMainStatus')})"
        case "" | "success":
            return ""
        case result:
            return f" ({result})"
