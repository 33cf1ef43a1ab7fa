"""What devpi serves: `+simple` pages in HTML, files under `+f` by the start of their digest.

An index that inherits from another one links to files of that other one, further up.
"""

from __future__ import annotations

import html

from tests.fake import DistFile, FakeUpstream, make_sdist, make_wheel

PROJECT = "inherited"
INDEX = "/team/dev"
HTML = "text/html; charset=UTF-8"

# Uploaded to the index itself, and inherited from `root/pypi`.
OWN = make_wheel(PROJECT, "2.0", requires_python=">=3.8,<4")
BASE = make_sdist(PROJECT, "1.0", requires_python="!=3.0.*,>=2.7", yanked="use 2.0 & later")
FILES = [OWN, BASE]


def publish(upstream: FakeUpstream) -> None:
    """Publish the project; `upstream` needs `root="/team/dev/+simple/"`."""
    for file in FILES:
        upstream.serve(file_path(file), file.body, "application/octet-stream")
    upstream.serve(f"{INDEX}/+simple/{PROJECT}/", _page(), HTML, X_DEVPI_SERIAL="4711")


def file_path(file: DistFile) -> str:
    """Return the path of a file on the server."""
    index = INDEX if file is OWN else "/root/pypi"
    return f"{index}/+f/{file.sha256[:3]}/{file.sha256[3:16]}/{file.filename}"


def _page() -> bytes:
    rows = "".join(_row(file) for file in FILES)
    title = f"{INDEX[1:]}: links for {PROJECT}"
    head = f"<!DOCTYPE html><html><head><title>{title}</title></head>"
    return f"{head}<body><h1>{title}</h1>\n{rows}</body></html>".encode()


def _row(file: DistFile) -> str:
    up = "../../+f" if file is OWN else "../../../../root/pypi/+f"
    link = f"{up}/{file.sha256[:3]}/{file.sha256[3:16]}/{file.filename}#sha256={file.sha256}"
    said = f' data-requires-python="{html.escape(file.requires_python or "")}"'
    if file.yanked:
        said += f' data-yanked="{html.escape(str(file.yanked))}"'
    return f'{file.sha256[:4]} <a href="{link}"{said}>{file.filename}</a><br/>\n'
