"""What the service's user may do with files and directories, tried as that user; by root only.

Trying it is exact, whatever lists of rights a file has besides its mode.
"""

from __future__ import annotations

import grp
import os
import pwd
import shlex
import subprocess
from collections.abc import Iterable
from pathlib import Path

from pypicached.settings import Problem

_READ, _WRITE, _ENTER = "-r", "-w", "-x"


class ServiceUser:
    """The user of that name; one that is unknown here, or whom we cannot become, may all."""

    def __init__(self, user: str) -> None:
        self.name = f"the service's user {user}"
        self._user = user
        self._entry: pwd.struct_passwd | None = None
        if os.geteuid() == 0:
            try:
                self._entry = pwd.getpwnam(user)
            except KeyError:
                return

    def explain_unreadable(self, key: str, path: Path) -> Problem | None:
        """Return the problem that the user cannot read a file, with the commands that let it."""
        if self._may(_READ, path):
            return None
        for directory in reversed(path.parents):
            if not self._may(_ENTER, directory):
                way = f"chmod o+x {shlex.quote(str(directory))}"
                return key, f"{self.name} may not enter {directory}", way
        assert self._entry is not None
        group, file = grp.getgrgid(self._entry.pw_gid).gr_name, shlex.quote(str(path))
        way = f"chown root:{group} {file} && chmod 640 {file}"
        return key, f"{self.name} cannot read {path}", way

    def may_make_files_in(self, directory: Path) -> bool:
        """Tell whether the user may make files in a directory that is there."""
        return self._may(_WRITE, directory) and self._may(_ENTER, directory)

    def _may(self, what: str, path: Path) -> bool:
        entry = self._entry
        if entry is None:
            return True
        done = subprocess.run(  # noqa: S603 - the host's own program
            ["/usr/bin/test", what, str(path)],
            user=entry.pw_uid,
            group=entry.pw_gid,
            extra_groups=os.getgrouplist(self._user, entry.pw_gid),
            cwd="/",
            check=False,
        )
        return done.returncode == 0


class Caller:
    """The calling process itself, asked the same about directories."""

    name = "you"

    def may_make_files_in(self, directory: Path) -> bool:
        """Tell whether this process may make files in a directory that is there."""
        return os.access(directory, os.W_OK | os.X_OK, effective_ids=True)


def explain_unusable_directory(
    key: str, directory: Path, user: ServiceUser | Caller
) -> Problem | None:
    """Return the problem that a directory is not one, or that `user` cannot make or fill it."""
    there = next(path for path in (directory, *directory.parents) if os.path.lexists(path))
    if not there.is_dir():
        return key, f"{there} is no directory", ""
    if user.may_make_files_in(there):
        return None
    return key, f"{user.name} may not write in {there}", ""


def explain_unreadable(user: ServiceUser, files: Iterable[tuple[str, Path]]) -> list[Problem]:
    """Return a problem for each file, given with its key, that the user cannot read."""
    told = (user.explain_unreadable(key, path) for key, path in files)
    return [problem for problem in told if problem is not None]
