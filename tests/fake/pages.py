"""How the fake index speaks: project pages and the project list, as JSON and as HTML.

Pure functions of what is published and of a `Dialect`. Written from PEP 503, 592, 629, 658, 691,
700, 714 and 792, without any code of pypicached.
"""

from __future__ import annotations

import hashlib
import html
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote

from tests.fake.wheels import DistFile

JSON_TYPE = "application/vnd.pypi.simple.v1+json"
HTML_TYPE = "application/vnd.pypi.simple.v1+html"


@dataclass(slots=True)
class Dialect:
    """What this index says and leaves out; may be changed while it runs.

    `style` "html" is an HTML-only mirror: no sidecars, no sizes. `sidecars`: advertised with their
    hash, plainly, or not at all; `sidecars_served` whether they answer 200. `links` "relative"
    needs the files on the pages' origin. `file_paths` "hashed" is PyPI's split of a digest, "flat"
    has nothing but the name, as mutable mirrors do. `legacy_keys` uses the names from before
    PEP 714.
    """

    style: Literal["json", "html"] = "json"
    api_version: str = "1.4"
    root: str = "/simple/"
    validators: bool = True
    serials: bool = True
    hashes: bool = True
    sidecars: Literal["hash", "plain", "off"] = "hash"
    sidecars_served: bool = True
    legacy_keys: bool = False
    charset: bool = False
    links: Literal["absolute", "relative"] = "absolute"
    base_href: str | None = None
    file_paths: Literal["hashed", "flat"] = "hashed"

    @property
    def minor(self) -> int:
        """The minor part of the API version."""
        return int(self.api_version.split(".")[1])


@dataclass(slots=True)
class Project:
    """A published project; `revision` grows with each change and is its last serial by default.

    `urls` (filename → URL) lists a file elsewhere than where it is served; `rows` (filename →
    keys) and `members` are merged into the JSON page as they are.
    """

    name: str
    files: dict[str, DistFile] = field(default_factory=dict)
    revision: int = 0
    serial: int | None = None
    status: str | None = None
    status_reason: str | None = None
    urls: dict[str, str] = field(default_factory=dict)
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    members: dict[str, Any] = field(default_factory=dict)


def file_path(file: DistFile, dialect: Dialect) -> str:
    """Return the encoded path at which the file is served."""
    name = quote(file.filename, safe="")
    if dialect.file_paths == "flat":
        return f"/files/{name}"
    digest = hashlib.blake2b(file.body, digest_size=32).hexdigest()
    return f"/packages/{digest[:2]}/{digest[2:4]}/{digest[4:]}/{name}"


def render_json(project: Project, links: dict[str, str], dialect: Dialect) -> bytes:
    """Render a project page (PEP 691); `links` maps filenames to URLs."""
    page: dict[str, Any] = {
        "meta": {"api-version": dialect.api_version},
        "name": project.name,
        "files": [_json_row(project, f, links[f.filename], dialect) for f in _listed(project)],
    }
    if dialect.minor >= 1:
        page["versions"] = sorted({name.split("-")[1] for name in map(_stem, project.files)})
    if dialect.serials:
        page["meta"]["_last-serial"] = serial_of(project)
    if dialect.minor >= 4 and project.status is not None:
        reason = {"reason": project.status_reason} if project.status_reason else {}
        page["project-status"] = {"status": project.status} | reason
    return json.dumps(page | project.members).encode()


def render_html(project: Project, links: dict[str, str], dialect: Dialect) -> bytes:
    """Render a project page (PEP 503); an HTML-only index leaves sidecars out."""
    anchors = [_anchor(f, links[f.filename], dialect) for f in _listed(project)]
    return _html_page(f"Links for {project.name}", anchors, project, dialect)


def render_list_json(names: Iterable[str], dialect: Dialect) -> bytes:
    """Render the project list (PEP 691)."""
    projects = [{"name": name} for name in names]
    meta = {"api-version": dialect.api_version}
    return json.dumps({"meta": meta, "projects": projects}).encode()


def render_list_html(names: Iterable[str], dialect: Dialect) -> bytes:
    """Render the project list (PEP 503)."""
    anchors = [f'<a href="{dialect.root}{name}/">{name}</a>' for name in names]
    return _html_page("Simple index", anchors, None, dialect)


def serial_of(project: Project) -> int:
    """Return what `X-PyPI-Last-Serial` says."""
    return project.revision if project.serial is None else project.serial


def _listed(project: Project) -> list[DistFile]:
    return [] if project.status == "quarantined" else list(project.files.values())


def _stem(filename: str) -> str:
    return filename.removesuffix(".tar.gz").removesuffix(".whl")


def _sidecar_key(file: DistFile, dialect: Dialect) -> bool | dict[str, str] | None:
    """Return what is said about a sidecar, None if nothing is."""
    if dialect.sidecars == "off" or file.metadata is None:
        return None
    if dialect.sidecars == "plain":
        return True
    return {"sha256": hashlib.sha256(file.metadata).hexdigest()}


def _json_row(project: Project, file: DistFile, url: str, dialect: Dialect) -> dict[str, Any]:
    row: dict[str, Any] = {
        "filename": file.filename,
        "url": url,
        "hashes": {"sha256": file.sha256} if dialect.hashes else {},
        "requires-python": file.requires_python,
        "yanked": file.yanked,
    }
    sidecar = _sidecar_key(file, dialect)
    if sidecar is not None and not dialect.legacy_keys:
        row["core-metadata"] = sidecar
    if sidecar is not None:
        row["data-dist-info-metadata"] = sidecar
    if dialect.minor >= 1:
        row["size"] = len(file.body)
        if file.upload_time is not None:
            row["upload-time"] = file.upload_time
    return row | project.rows.get(file.filename, {})


def _anchor(file: DistFile, url: str, dialect: Dialect) -> str:
    attributes = {"href": f"{url}#sha256={file.sha256}" if dialect.hashes else url}
    if file.requires_python is not None:
        attributes["data-requires-python"] = file.requires_python
    if file.yanked is not False:
        attributes["data-yanked"] = "" if file.yanked is True else file.yanked
    sidecar = None if dialect.style == "html" else _sidecar_key(file, dialect)
    if sidecar is not None:
        value = f"sha256={sidecar['sha256']}" if isinstance(sidecar, dict) else "true"
        attributes["data-dist-info-metadata"] = value
        if not dialect.legacy_keys:
            attributes["data-core-metadata"] = value
    text = " ".join(f'{name}="{html.escape(value)}"' for name, value in attributes.items())
    return f"<a {text}>{html.escape(file.filename)}</a>"


def _html_page(title: str, anchors: list[str], project: Project | None, dialect: Dialect) -> bytes:
    head = [f'<meta name="pypi:repository-version" content="{dialect.api_version}">']
    if dialect.base_href is not None:
        head.append(f'<base href="{html.escape(dialect.base_href)}">')
    if project is not None and project.status is not None and dialect.minor >= 4:
        head.append(f'<meta name="pypi:project-status" content="{project.status}">')
    if project is not None and project.status_reason and dialect.minor >= 4:
        reason = html.escape(project.status_reason)
        head.append(f'<meta name="pypi:project-status-reason" content="{reason}">')
    lines = ["<!DOCTYPE html>", "<html><head>", *head, f"<title>{title}</title></head><body>"]
    return "\n".join([*lines, *(f"{anchor}<br>" for anchor in anchors), "</body></html>"]).encode()
