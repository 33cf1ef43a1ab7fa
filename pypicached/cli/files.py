"""Files that settings name, tried as the daemon tries them at a start and at a reload."""

from __future__ import annotations

import os

from pypicached.credentials import Credentials
from pypicached.errors import SettingsError
from pypicached.reach import FILES, build_reach, read_files
from pypicached.settings import S3, Index, Problem, Settings


def find_unusable(settings: Settings) -> list[Problem]:
    """Return all that is wrong with files that settings name.

    Where the caller may not see all files of an index, only the daemon can tell.
    """
    problems = _in_store(settings.store.s3)
    for index in settings.indexes:
        if not _may_read(index):
            continue
        try:
            contents = read_files(index)
            Credentials(index)
            build_reach(index, settings.proxies, contents)
        except SettingsError as error:
            problems += error.problems
    return problems


def _in_store(s3: S3) -> list[Problem]:
    path = s3.secret_access_key_file
    if path is None or not os.access(path, os.R_OK):
        return []
    try:
        s3.read_secret()
    except SettingsError as error:
        return error.problems
    return []


def _may_read(index: Index) -> bool:
    named = [path for key in FILES if (path := getattr(index, key)) is not None]
    return all(os.access(path, os.R_OK) for path in named)
