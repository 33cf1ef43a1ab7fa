"""What the fake index publishes, and which resource each path stands for.

Routing is the same on both listeners; which of them a page links to is the caller's choice
(`files_origin`). No sockets here.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import quote, unquote

from tests.fake import pages
from tests.fake.pages import Dialect, Project
from tests.fake.resources import Resource
from tests.fake.wheels import DistFile, normalized
from tests.fake.wire import Request

# Each change of a page moves its Last-Modified by a second, so that quick changes are told apart.
_EPOCH = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)


class Site:
    """The published projects and files; changes are plain dictionary updates, visible at once."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.projects: dict[str, Project] = {}
        self.static: dict[str, Resource] = {}
        self.credentials: str | None = None
        self.files_need_credentials = False
        self._files: dict[str, DistFile] = {}
        self._revision = 0
        self._rendered: dict[tuple[Any, ...], bytes] = {}

    def publish(self, name: str, files: tuple[DistFile, ...], options: dict[str, Any]) -> None:
        """Add files to a project, made if it is new; `options` are fields of `Project`."""
        project = self.projects.setdefault(normalized(name), Project(normalized(name)))
        for option, value in options.items():
            if option not in Project.__dataclass_fields__:
                raise TypeError(f"no such page option: {option}")
            setattr(project, option, value)
        project.files = project.files | {file.filename: file for file in files}
        self._files |= {unquote(pages.file_path(file, self.dialect)): file for file in files}
        self._revision += 1
        project.revision = self._revision

    def withdraw(self, name: str, filename: str | None, *, keep_served: bool) -> None:
        """Take a project or one file of it off the index; KeyError if there is none."""
        project = self.projects[normalized(name)]
        gone = list(project.files.values()) if filename is None else [project.files[filename]]
        if filename is None:
            del self.projects[project.name]
        project.files = {n: f for n, f in project.files.items() if f not in gone}
        self._revision += 1
        project.revision = self._revision
        if not keep_served:
            self._files = {path: f for path, f in self._files.items() if f not in gone}

    def route(self, request: Request, files_origin: str) -> Resource:
        """Return what the path stands for; links on pages start with `files_origin`."""
        if request.method not in {"GET", "HEAD"}:
            return Resource(b"", "text/plain", status=405, headers={"Allow": "GET, HEAD"})
        if not self._is_authorized(request):
            challenge = {"WWW-Authenticate": 'Basic realm="fake"'}
            return Resource(b"credentials needed\n", "text/plain", status=401, headers=challenge)
        if request.path in self.static:
            static = self.static[request.path]
            return dataclasses.replace(static, headers=dict(static.headers))
        if request.path.startswith(self.dialect.root):
            return self._route_simple(request, files_origin)
        return self._route_file(request.path)

    def url_of(self, file: DistFile, files_origin: str) -> str:
        """Return the absolute URL at which the file is served."""
        return files_origin + pages.file_path(file, self.dialect)

    def _is_authorized(self, request: Request) -> bool:
        if request.origin == "files" and not self.files_need_credentials:
            return True
        return self.credentials in {None, request.headers.get("authorization")}

    def _route_simple(self, request: Request, files_origin: str) -> Resource:
        rest = request.path.removeprefix(self.dialect.root)
        if not rest:
            return self._project_list(request)
        name = normalized(rest.rstrip("/"))
        if rest != f"{name}/":
            location = {"Location": f"{self.dialect.root}{quote(name)}/"}
            return Resource(b"", "text/plain", status=301, headers=location)
        if name not in self.projects:
            return not_found()
        return self._project_page(self.projects[name], request, files_origin)

    def _project_page(self, project: Project, request: Request, files_origin: str) -> Resource:
        speaks_json = self._speaks_json(request)
        key = (*dataclasses.astuple(self.dialect), project.name, files_origin, speaks_json)
        key += (project.revision,)
        if key not in self._rendered:
            render = pages.render_json if speaks_json else pages.render_html
            links = {
                f.filename: self._link(f, project, files_origin) for f in project.files.values()
            }
            self._rendered[key] = render(project, links, self.dialect)
        resource = self._page(self._rendered[key], project.revision, is_json=speaks_json)
        if self.dialect.serials:
            resource.headers["X-PyPI-Last-Serial"] = str(pages.serial_of(project))
        return resource

    def _project_list(self, request: Request) -> Resource:
        speaks_json = self._speaks_json(request)
        render = pages.render_list_json if speaks_json else pages.render_list_html
        body = render(sorted(self.projects), self.dialect)
        return self._page(body, self._revision, is_json=speaks_json)

    def _speaks_json(self, request: Request) -> bool:
        accept = request.headers.get("accept", "")
        wanted = pages.JSON_TYPE in accept or "vnd.pypi.simple.latest+json" in accept
        return self.dialect.style == "json" and wanted

    def _page(self, body: bytes, revision: int, *, is_json: bool) -> Resource:
        media_type = pages.JSON_TYPE if is_json else self._html_type()
        suffix = "; charset=utf-8" if self.dialect.charset else ""
        resource = Resource(body, media_type + suffix, headers={"Vary": "Accept"})
        if self.dialect.validators:
            resource.etag = f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
            resource.last_modified = http_date(_EPOCH + timedelta(seconds=revision))
        return resource

    def _html_type(self) -> str:
        return "text/html" if self.dialect.style == "html" else pages.HTML_TYPE

    def _link(self, file: DistFile, project: Project, files_origin: str) -> str:
        if file.filename in project.urls:
            return project.urls[file.filename]
        path = pages.file_path(file, self.dialect)
        if self.dialect.links == "absolute":
            return files_origin + path
        # A page lies as many directories deep as its path has slashes after the first.
        depth = self.dialect.root.count("/")
        return "../" * depth + path.lstrip("/")

    def _route_file(self, path: str) -> Resource:
        file = self._files.get(path)
        if file is not None:
            return self._file(file.body, file.sha256[:32], file.upload_time)
        file = self._files.get(path.removesuffix(".metadata"))
        if file is None or file.metadata is None or not self.dialect.sidecars_served:
            return not_found()
        digest = hashlib.sha256(file.metadata).hexdigest()
        return self._file(file.metadata, digest[:32], file.upload_time)

    def _file(self, body: bytes, tag: str, upload_time: str | None) -> Resource:
        resource = Resource(body, ranges=True)
        if self.dialect.validators:
            moment = _EPOCH if upload_time is None else datetime.fromisoformat(upload_time)
            resource.etag = f'"{tag}"'
            resource.last_modified = http_date(moment.astimezone(UTC))
        return resource


def basic(username: str, password: str) -> str:
    """Return the Authorization value of RFC 7617."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def http_date(moment: datetime) -> str:
    """Return an IMF-fixdate (RFC 9110 §5.6.7)."""
    return format_datetime(moment, usegmt=True)


def not_found() -> Resource:
    """Return the 404 of this index."""
    return Resource(b"404 Not Found\n", "text/plain", status=404)
