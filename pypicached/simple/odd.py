"""Files whose names do not lead back to the project that lists them.

Files are looked up by their names alone, so the few of whom that does not work are remembered.
"""

from __future__ import annotations

from pypicached.simple.model import ProjectPage
from pypicached.simple.names import projects_of, surely_of
from pypicached.simple.steps import Steps, batches
from pypicached.simple.urls import file_key


def odd_keys(page: ProjectPage) -> Steps[list[str]]:
    """Return, in steps, the keys of such files of a page."""
    odd: list[str] = []
    for batch in batches(page.files):
        odd += [key for file in batch if (key := _odd_key(file.url, page.name)) is not None]
        yield
    return odd


def _odd_key(url: str, project: str) -> str | None:
    name = url.partition("?")[0].rpartition("/")[2]
    if "%" not in name and surely_of(name, project):
        return None
    key = file_key(url)
    leads_back = key is None or project in projects_of(key.rpartition("/")[2])
    return None if leads_back else key
