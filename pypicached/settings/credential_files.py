"""Credentials of systemd (`LoadCredential=`, systemd.exec(5)) as the files of settings.

A setting names one as `$CREDENTIALS_DIRECTORY/NAME`. The variable is set for the service alone; in
a shell, the place is where the service's are while it runs.
"""

from __future__ import annotations

import errno
import stat
from collections.abc import Mapping
from pathlib import Path

# Where systemd puts those of a system service; absent while it does not run.
_PLACE = Path("/run/credentials")
_SERVICE = _PLACE / "pypicached.service"
_VARIABLE = "CREDENTIALS_DIRECTORY"
_OPENING = f"${_VARIABLE}/"
# The unit as it comes hands over each file of a directory, under this prefix and its name.
_PREFIX = "cred_"
_SOURCE = Path("/etc/pypicached/credentials")


def resolve(text: str, env: Mapping[str, str]) -> str:
    """Return the path of a credential that is named by its variable; else `text`."""
    if not text.startswith(_OPENING):
        return text
    return f"{env.get(_VARIABLE) or _SERVICE}/{text.removeprefix(_OPENING)}"


def is_credential(path: Path) -> bool:
    """Tell whether a path is one where systemd puts credentials."""
    return path.is_relative_to(_PLACE)


def is_elsewhere(path: Path, env: Mapping[str, str]) -> bool:
    """Tell whether a path is a credential of the service, and this process is not the service."""
    return is_credential(path) and _VARIABLE not in env


def look_at(path: Path, env: Mapping[str, str]) -> tuple[tuple[str, ...] | None, str]:
    """Return what is wrong with a file that a setting names and what to do, and a warning.

    Neither, where it is there; one that only the daemon may see may be.
    """
    why = _why_unusable(path)
    if not why:
        return None, ""
    if not is_elsewhere(path, env):
        return _explain_missing(path, env) or (f"{path} {why}",), ""
    warning, missing = _look_ahead(path)
    return missing, warning


def _why_unusable(path: Path) -> str:
    """Return why a file cannot be used, or ""; one that only the daemon may see can."""
    try:
        is_directory = stat.S_ISDIR(path.stat().st_mode)
    except OSError as error:
        return "" if error.errno == errno.EACCES else "does not exist"
    return "is a directory" if is_directory else ""


def _look_ahead(path: Path) -> tuple[str, tuple[str, str] | None]:
    """Return a warning about a credential that is not handed over now, and what is wrong, if known.

    Who may look into the directory that it comes from (root) knows whether the service will get it.
    """
    name = path.name
    if path.parent != _SERVICE:
        return f"{path} exists only while its service runs", None
    if not name.startswith(_PREFIX):
        return f"{path} exists only while the service runs, and if its unit hands it over", None
    try:
        (_SOURCE / name.removeprefix(_PREFIX)).stat()
    except OSError as error:
        # Without the directory this is not the host of the service, or one to be prepared.
        if error.errno == errno.ENOENT and _SOURCE.is_dir():
            return "", _missing(name)
        return f"{path} exists only while the service runs", None
    # Handed over at a start, and never after that.
    runs = _SERVICE.exists()
    return (f"{name} is handed over at the next start of the service" if runs else ""), None


def _explain_missing(path: Path, env: Mapping[str, str]) -> tuple[str, str] | None:
    """Return what is wrong and what to do where a credential was not handed over.

    None for a path that is none of the credentials of this process.
    """
    directory = env.get(_VARIABLE)
    if not directory or not path.is_relative_to(directory):
        return None
    return _missing(str(path.relative_to(directory)))


def _missing(name: str) -> tuple[str, str]:
    source = _SOURCE / name.removeprefix(_PREFIX)
    where = f"as {source}" if name.startswith(_PREFIX) else "by LoadCredential= in its unit"
    return f"systemd has handed over no credential {name}", f"give it {where}, and restart"
