"""What a plain web server serves of a directory with files: a listing that it made itself.

Python's own `http.server`, Apache's mod_autoindex and nginx's autoindex. None gives a hash, and
each links to more than files.
"""

from __future__ import annotations

import html
from urllib.parse import quote

from tests.fake import DistFile, FakeUpstream, make_sdist, make_wheel

PROJECT = "listed-project"
DIRECTORY = f"/simple/{PROJECT}/"

WHEEL = make_wheel(PROJECT, "1.0+local.1")
LONG = make_wheel(PROJECT, "1.0", tag="cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64")
SDIST = make_sdist(PROJECT, "1.0")
FILES = [WHEEL, LONG, SDIST]
# What else lies in such a directory; no client takes it for a release.
OTHERS = ["README.md", "SHA256SUMS", f"{SDIST.filename}.asc", f"{WHEEL.filename}.metadata"]
SERVERS = ["http.server", "apache", "nginx"]


def publish(upstream: FakeUpstream, server: str, files: list[DistFile] = FILES) -> None:
    """Serve the directory as this server does."""
    names = sorted([*(file.filename for file in files), *(OTHERS if files else [])])
    rendered, content_type = {
        "http.server": (_http_server, "text/html; charset=utf-8"),
        "apache": (_apache, "text/html;charset=UTF-8"),
        "nginx": (_nginx, "text/html"),
    }[server]
    upstream.serve(DIRECTORY, rendered(names).encode(), content_type)
    for file in files:
        # Apache takes `.gz` for an encoding, and says so of what is no encoded tar file.
        gzipped = server == "apache" and file.filename.endswith(".gz")
        headers = {"Content_Encoding": "x-gzip"} if gzipped else {}
        upstream.serve(DIRECTORY + file.filename, file.body, "application/x-tar", **headers)


def _http_server(names: list[str]) -> str:
    title = f"Directory listing for {DIRECTORY}"
    rows = [f'<li><a href="{quote(name)}">{html.escape(name)}</a></li>\n' for name in names]
    return (
        '<!DOCTYPE HTML>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{title}</title>\n</head>\n<body>\n<h1>{title}</h1>\n<hr>\n<ul>\n"
        f'{"".join(rows)}<li><a href="old/">old/</a></li>\n</ul>\n<hr>\n</body>\n</html>\n'
    )


def _apache(names: list[str]) -> str:
    title = f"Index of {DIRECTORY.rstrip('/')}"
    sorts = [
        f'<th><a href="?C={column};O={order}">{text}</a></th>'
        for column, order, text in (("N", "D", "Name"), ("M", "A", "Last modified"))
    ]
    rows = [
        f'<tr><td valign="top"><img src="/icons/unknown.gif" alt="[   ]"></td>'
        f'<td><a href="{quote(name, safe="+")}">{html.escape(_cut(name, 23))}</a></td>'
        '<td align="right">2024-01-02 03:04  </td><td align="right">1.2K</td></tr>\n'
        for name in names
    ]
    return (
        '<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 3.2 Final//EN">\n<html>\n <head>\n'
        f"  <title>{title}</title>\n </head>\n <body>\n<h1>{title}</h1>\n  <table>\n"
        f"   <tr>{''.join(sorts)}</tr>\n"
        '<tr><td><img src="/icons/back.gif" alt="[PARENTDIR]"></td>'
        '<td><a href="/simple/">Parent Directory</a></td></tr>\n'
        f"{''.join(rows)}</table>\n<address>Apache Server</address>\n</body></html>"
    )


def _nginx(names: list[str]) -> str:
    rows = [
        f'<a href="{quote(name, safe="+")}">{html.escape(_cut(name, 50))}</a>'
        "          02-Jan-2024 03:04          1234\n"
        for name in names
    ]
    return (
        f"<html>\n<head><title>Index of {DIRECTORY}</title></head>\n<body>\n"
        f'<h1>Index of {DIRECTORY}</h1><hr><pre><a href="../">../</a>\n{"".join(rows)}</pre><hr>'
        "</body>\n</html>\n"
    )


def _cut(name: str, width: int) -> str:
    """Return the text of a link as such listings cut it."""
    return name if len(name) <= width else f"{name[: width - 3]}..>"
