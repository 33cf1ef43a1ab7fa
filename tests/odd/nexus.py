"""What an artifact manager serves (Nexus, Artifactory): one origin, behind a password.

Pages are bare HTML with links that climb out of `simple/`, a hash each, and no word of sizes,
sidecars or Python versions; their Content-Type has a charset. Names are redirected to their slash,
or, behind some reverse proxies, away from it.
"""

from __future__ import annotations

from tests.fake import DistFile, FakeUpstream, make_sdist, make_wheel

PROJECT = "acme-tools"
USER, PASSWORD = "build", "s3cret/pass"
REPOSITORY = "/repository/pypi-all"
HTML = "text/html; charset=ISO-8859-1"

WHEEL = make_wheel(PROJECT, "1.0")
SDIST = make_sdist(PROJECT, "1.0")
FILES = [WHEEL, SDIST]


def upstream() -> FakeUpstream:
    """Return the repository, with one project, not yet running."""
    server = FakeUpstream(
        auth=(USER, PASSWORD),
        auth_files=True,
        separate_files=False,
        style="html",
        root=f"{REPOSITORY}/simple/",
    )
    for file in FILES:
        server.serve(file_path(file), file.body, "application/octet-stream")
    server.serve(f"{REPOSITORY}/simple/{PROJECT}/", page("../../"), HTML)
    server.redirect(f"{REPOSITORY}/simple/{PROJECT}", f"{REPOSITORY}/simple/{PROJECT}/")
    return server


def strip_slashes(server: FakeUpstream) -> None:
    """Redirect the page away from its slash; its links then climb one directory less."""
    server.heal()
    bare = f"{REPOSITORY}/simple/{PROJECT}"
    server.redirect(f"{bare}/", bare, 301)
    server.serve(bare, page("../"), HTML)


def file_path(file: DistFile) -> str:
    """Return the path of a file on the server."""
    return f"{REPOSITORY}/packages/{PROJECT}/1.0/{file.filename}"


def page(up: str) -> bytes:
    """Return the project page, with links that start with `up`."""
    rows = [
        f'<a href="{up}packages/{PROJECT}/1.0/{file.filename}#sha256={file.sha256}" '
        f'rel="internal">{file.filename}</a><br/>\n'
        for file in FILES
    ]
    head = f"<html lang='en'>\n<head><title>Links for {PROJECT}</title>\n</head>\n"
    text = f"{head}<body><h1>Links for {PROJECT}, été</h1>\n{''.join(rows)}</body></html>"
    return text.encode("cp1252")
