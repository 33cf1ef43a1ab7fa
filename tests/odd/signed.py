"""What an index in front of an object store serves: links that are signed, for a while.

The query of a link holds the signature; without it, with an older one, or for another method than
GET the store answers 403. Each page that is asked for signs anew.
"""

from __future__ import annotations

import html
import json

from tests.fake import DistFile, FakeUpstream, Request, make_sdist, make_wheel
from tests.fake.faults import Fault
from tests.fake.pages import JSON_TYPE

PROJECT = "signed-project"
PAGE = f"/simple/{PROJECT}/"
WHEEL = make_wheel(PROJECT, "1.0+x", size_bytes=100_000)
SDIST = make_sdist(PROJECT, "1.0")
FILES = [WHEEL, SDIST]


class Store:
    """The index with its store; `sign` makes all that was signed before worthless."""

    def __init__(self, upstream: FakeUpstream, style: str = "html", *, sizes: bool = True) -> None:
        self.upstream = upstream
        self._style = style
        self._sizes = sizes
        self._number = 0
        self._denial: Fault | None = None
        # Ranges and validators, as stores have them, are those of the fake's own files.
        upstream.dialect.file_paths = "flat"
        upstream.dialect.sidecars = "off"
        upstream.dialect.sidecars_served = False
        upstream.add(PROJECT, *FILES)
        upstream.fault(self._is_denied, "status", code=403, body=b"<Error>AccessDenied</Error>")
        self.sign()

    @property
    def signature(self) -> str:
        """What a link's query must hold now; `+` and `%2F` mean something in it."""
        return f"X-Amz-Signature=ab%2Fcd+{self._number:04}"

    @property
    def query(self) -> str:
        """The whole query of links signed now."""
        return f"X-Amz-Credential=id%2F20240102&X-Amz-Expires=60&{self.signature}"

    def sign(self) -> None:
        """Sign the page's links anew."""
        self._number += 1
        render = self._html if self._style == "html" else self._json
        content_type = "text/html" if self._style == "html" else JSON_TYPE
        self.upstream.serve(PAGE, render().encode(), content_type)

    def expire(self) -> None:
        """Let the signatures on the page that is served end; the page stays as it is."""
        self._number += 1

    def asked(self, filename: str) -> list[str]:
        """Return the queries with which a file was asked for."""
        ours = [r for r in self.upstream.requests if r.path.endswith(filename)]
        return [request.raw_path.partition("?")[2] for request in ours]

    def _is_denied(self, request: Request) -> bool:
        if request.origin == "pages":
            return False
        signed = request.raw_path.endswith(f"?{self.query}") and request.method == "GET"
        # A signature is for one path.
        return not signed or request.path.endswith(".metadata")

    def _link(self, file: DistFile) -> str:
        return f"{self.upstream.url_of(file)}?{self.query}"

    def _html(self) -> str:
        rows = [
            f'<a href="{html.escape(self._link(file))}#sha256={file.sha256}">{file.filename}</a>'
            for file in FILES
        ]
        return f"<!DOCTYPE html><html><body>{''.join(rows)}</body></html>"

    def _json(self) -> str:
        rows = [
            {
                "filename": file.filename,
                "url": self._link(file),
                "hashes": {"sha256": file.sha256},
                "size": len(file.body) if self._sizes else None,
            }
            for file in FILES
        ]
        meta = {"api-version": "1.1" if self._sizes else "1.0"}
        return json.dumps(
            {"meta": meta, "name": PROJECT, "versions": ["1.0+x", "1.0"]} | {"files": rows}
        )
