"""`~/.netrc`, or the file that `NETRC` names: credentials of an index whose settings have none.

Only an entry of the very host counts. `default` does not: it is not about an index, and PyPI would
get it. Messages tell file and line, never a word of the file.
"""

from __future__ import annotations

import netrc
import os
from collections.abc import Mapping
from pathlib import Path

from pypicached.settings import credential_files
from pypicached.settings.places import expand
from pypicached.settings.secret import Secret, is_clean
from pypicached.settings.small_files import PEM_BYTES, UnusableFileError, read_small


class NetrcError(ValueError):
    """The file cannot be used; one sentence that says why."""


def find_netrc(env: Mapping[str, str]) -> Path | None:
    """Return the file that is to be read; None if there is none and none was named."""
    if named := env.get("NETRC"):
        # No shell has replaced the variable in a unit's EnvironmentFile= (systemd.exec(5)).
        return expand(Path(credential_files.resolve(named, env)))
    path = Path(env["HOME"]) / ".netrc" if env.get("HOME") else None
    return path if path is not None and os.path.lexists(path) else None


def read_netrc(path: Path, host: str) -> tuple[str, Secret] | None:
    """Return user name and password of a host, None if it has no entry. Raises NetrcError."""
    try:
        # `netrc` takes names only; what it would wait for has to be found out first.
        read_small(path, PEM_BYTES)
        entry = netrc.netrc(str(path)).hosts.get(host)
    except UnusableFileError as error:
        raise NetrcError(f"{path} cannot be used: {error}") from None
    except netrc.NetrcParseError as error:
        # Its message quotes the word that it did not expect, which may be a password.
        raise NetrcError(f"{path} cannot be read as netrc: see its line {error.lineno}") from None
    except OSError as error:
        raise NetrcError(f"{path} cannot be used: {os.strerror(error.errno or 0)}") from None
    except UnicodeDecodeError:
        raise NetrcError(f"{path} cannot be used: not UTF-8 text") from None
    if entry is None or host == "default":
        return None
    login, account, password = entry
    username = login or account or ""
    if not username or ":" in username or not is_clean(username + (password or "")):
        raise NetrcError(f"{path} has an entry for {host} without a usable login")
    return username, Secret(password or "")
