"""Where things are on this host: directories, the configuration file, control sockets.

Directories come from systemd (`CACHE_DIRECTORY` and its kind, systemd.exec(5)), else from
platformdirs. Looks at directories, creates none.

The configuration file is the first of:
1. `--config`, which must exist;
2. under systemd, `$CONFIGURATION_DIRECTORY/pypicached.toml`, and no other;
3. for root and the user `pypicached`: `/etc/pypicached/pypicached.toml`, then the user's own;
   for everybody else: the user's own, then `/etc/pypicached/pypicached.toml` if it is readable
   (it may hold secrets, and then it is not theirs to read).
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from pathlib import Path

import msgspec
import platformdirs

from pypicached.errors import SettingsError

FILE_NAME = "pypicached.toml"
SYSTEM_FILE = Path("/etc/pypicached") / FILE_NAME
SYSTEM_SOCKET = Path("/run/pypicached/control.sock")
SOCKET_NAME = "control.sock"
SOCKET_VARIABLE = "PYPICACHED_SOCKET"
_SERVICE_USER = "pypicached"


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """The directories of this host and user; tests hand in others."""

    cache: Path
    state: Path
    # None where the user has no runtime directory (a container, cron).
    runtime: Path | None
    user_file: Path
    system_file: Path = SYSTEM_FILE
    system_socket: Path = SYSTEM_SOCKET
    # Root or the service's own user: the system's file is theirs.
    is_service: bool = False


def find_places(env: Mapping[str, str]) -> Places:
    """Return the places of the calling user, without those that systemd hands over."""
    return Places(
        cache=platformdirs.user_cache_path("pypicached"),
        state=platformdirs.user_state_path("pypicached"),
        runtime=_runtime_directory(env),
        user_file=platformdirs.user_config_path("pypicached") / FILE_NAME,
        is_service=os.geteuid() == 0 or _is_service_user(),
    )


def _is_service_user() -> bool:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name == _SERVICE_USER
    except KeyError:
        # A container may run under a number that has no name.
        return False


def _runtime_directory(env: Mapping[str, str]) -> Path | None:
    """Return the user's runtime directory, if it is there and really this user's.

    Not through platformdirs: without one it falls back to a directory below /tmp, and root after
    `su` would use that of another user. The XDG specification demands the owner.
    """
    base = Path(env.get("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}")
    try:
        mine = base.is_absolute() and base.is_dir() and base.stat().st_uid == os.geteuid()
    except OSError:
        mine = False
    return base / "pypicached" if mine and os.access(base, os.W_OK | os.X_OK) else None


def systemd_directory(env: Mapping[str, str], variable: str) -> Path | None:
    """Return the first directory of `variable` (colon-separated), or None if it is not set."""
    first = env.get(variable, "").split(":")[0]
    return Path(first) if first else None


def default_socket(env: Mapping[str, str], places: Places) -> tuple[Path, str]:
    """Return where `serve` puts its control socket unless told otherwise, and what decided."""
    if env.get(SOCKET_VARIABLE):
        return expand(Path(env[SOCKET_VARIABLE])), f"environment {SOCKET_VARIABLE}"
    if runtime := systemd_directory(env, "RUNTIME_DIRECTORY"):
        return runtime / SOCKET_NAME, "environment RUNTIME_DIRECTORY"
    state = systemd_directory(env, "STATE_DIRECTORY") or places.state
    return (places.runtime or state) / SOCKET_NAME, "default"


def default_sockets(env: Mapping[str, str], places: Places | None = None) -> list[Path]:
    """Return where clients look for a daemon, in this order; `PYPICACHED_SOCKET` stands alone.

    Both of the user's own places are listed, because the runtime directory may have come or gone
    since the daemon started (a log-in session).
    """
    if env.get(SOCKET_VARIABLE):
        return [expand(Path(env[SOCKET_VARIABLE]))]
    found = places or find_places(env)
    own = [found.runtime, found.state]
    return [d / SOCKET_NAME for d in own if d is not None] + [found.system_socket]


def find_file(config: Path | None, env: Mapping[str, str], places: Places) -> Path | None:
    """Return the configuration file by the module's rules; None: there is none, and need not be.

    SettingsError if `config` does not exist, or one's own cannot be seen.
    """
    if config is not None:
        return _required(expand(config))
    if handed := systemd_directory(env, "CONFIGURATION_DIRECTORY"):
        return handed / FILE_NAME if _is_there(handed / FILE_NAME) else None
    order = [places.user_file, places.system_file]
    if places.is_service:
        order.reverse()
    for path in order:
        # The system's file is not one's own, unless one is the service.
        own = places.is_service or path == places.user_file
        if _is_there(path) if own else _exists(path) and os.access(path, os.R_OK):
            return path
    return None


def find_unreadable(places: Places) -> Path | None:
    """Return the system's file if it is there, or may be, and is not for the caller to read."""
    path = places.system_file
    try:
        path.stat()
    except PermissionError:
        return path
    except OSError:
        return None
    return None if os.access(path, os.R_OK, effective_ids=True) else path


def _required(path: Path) -> Path:
    if not _exists(path):
        raise SettingsError([(str(path), "does not exist", "")])
    if path.is_dir():
        raise SettingsError([(str(path), "is a directory", f"name the file: {path / FILE_NAME}")])
    return path


def _is_there(path: Path) -> bool:
    """Tell whether there is a file of our own. SettingsError where that cannot be seen.

    Not to be allowed to look is no absence: the rules in it would be dropped.
    """
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        hint = f"let the user that runs pypicached into {path.parent}"
        raise SettingsError([(str(path), f"cannot be read: {error.strerror}", hint)]) from None
    return True


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        # A directory on the way that we may not enter.
        return False


def expand(path: Path) -> Path:
    """Return `path` absolute, with `~` replaced; it stays as it is for a user without a home."""
    try:
        return path.expanduser().absolute()
    except RuntimeError:
        return path.absolute()
