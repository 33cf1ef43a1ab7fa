"""The service as seen from a shell: what systemd says of its units, and what may be made of it.

Only asks `systemctl show`, which everybody may; where systemd is not running, or does not answer
soon, nothing is known. Changes nothing.
"""

from __future__ import annotations

import os
import pwd
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pypicached import dropins
from pypicached.cli.environment_file import parse_environment_file

ANSWER_SECONDS = 2.0
# Below what systemd makes the directories of a system service (systemd.exec(5)).
_BASES = {"CacheDirectory": Path("/var/cache"), "StateDirectory": Path("/var/lib")}
_VARIABLES = {"CacheDirectory": "CACHE_DIRECTORY", "StateDirectory": "STATE_DIRECTORY"}

Facts = Mapping[str, list[str]]


class Environment(NamedTuple):
    """The environment in which the service reads its settings, as far as its unit tells.

    `files` are those of `EnvironmentFile=` that were read; `notes` tell of those that could not be.
    """

    user: str
    variables: dict[str, str]
    files: list[Path]
    notes: list[str]


def show(unit: str, *names: str) -> Facts:
    """Return properties of a unit, each with its values; nothing if systemd does not tell."""
    try:
        done = subprocess.run(  # noqa: S603 - the host's own program, a unit of ours
            ["systemctl", "show", f"--property={','.join(names)}", unit],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=ANSWER_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return {}
    facts: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        name, _, value = line.partition("=")
        if value:
            facts.setdefault(name, []).append(value)
    return facts


def find_environment() -> Environment | None:
    """Return the environment of the service; None where systemd knows no such unit."""
    asked = ("LoadState", "User", "Environment", "EnvironmentFiles", *_VARIABLES)
    facts = show(dropins.SERVICE_UNIT, *asked)
    if facts.get("LoadState") != ["loaded"]:
        return None
    user = facts.get("User", [dropins.USER])[0]
    found = Environment(user, _home(user), [], [])
    for variable in (word for value in facts.get("Environment", []) for word in shlex.split(value)):
        name, _, value = variable.partition("=")
        found.variables[name] = value
    # Later files win over earlier ones, and all of them over Environment= (systemd.exec(5)).
    for value in facts.get("EnvironmentFiles", []):
        # As in "/etc/default/pypicached (ignore_errors=yes)".
        path = Path(value.rpartition(" (")[0])
        try:
            found.variables.update(parse_environment_file(path.read_text()))
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            why = os.strerror(error.errno or 0) if isinstance(error, OSError) else "not UTF-8"
            found.notes.append(f"{path} cannot be read ({why}): what it sets is not seen here")
        else:
            found.files.append(path)
    found.variables.update(_directories(facts))
    return found


def _home(user: str) -> dict[str, str]:
    try:
        return {"HOME": pwd.getpwnam(user).pw_dir}
    except KeyError:
        return {}


def _directories(facts: Facts) -> dict[str, str]:
    """Return the variables by which systemd tells the service its directories."""
    return {
        variable: str(_BASES[name] / facts[name][0].split()[0])
        for name, variable in _VARIABLES.items()
        if facts.get(name)
    }
