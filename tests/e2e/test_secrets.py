"""Secrets are nowhere: a daemon with one of each kind goes through good and bad days, searched.

It runs at log level debug, asyncio's included. Everything that it gives away or leaves behind is
looked through for each secret: as it is, percent-encoded, and in base64 as headers have it.
"""

from __future__ import annotations

import base64
import contextlib
import json
import signal
import socket
import socketserver
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, urljoin

import pytest

from tests.e2e.conftest import MakeDaemon
from tests.e2e.process import JSON, DaemonProcess
from tests.fake.threaded import ThreadedFakeUpstream
from tests.fake.wheels import make_wheel

# Each with something that is spelled differently in a URL; by index.
SECRETS = {
    "basic": "basic+s3cret/one",
    "bearer": "bearer-s3cret_two",
    "filed": "filed s3cret=three",
    "inurl": "inurl&s3cret:four",
    "netrc": "netrc%s3cret+five",
    "proxied": "proxied@s3cret/six",
    "broken": "broken+s3cret/seven",
}
USER = "robot"


def indexes_of(names: Iterable[str]) -> list[str]:
    """Return those of the indexes that can be reached."""
    return [name for name in names if name not in ("proxied", "broken")]


def spellings(secret: str) -> set[bytes]:
    """Return how a secret may be spelled, without what depends on its neighbours in base64."""
    found = {secret, quote(secret), quote(secret, safe=""), quote_plus(secret)}
    found |= {json.dumps(secret)[1:-1], repr(secret)[1:-1]}
    for ahead in ("", "x", "xx", f"{USER}:"):
        encoded = base64.b64encode(f"{ahead}{secret}".encode()).decode().rstrip("=")
        # Its first and last characters depend on what stands around it.
        found.add(encoded[4 if ahead else 0 : -2])
    return {text.encode() for text in found}


def test_spellings__are_found() -> None:
    """The search itself finds a Basic header, a URL and a repr."""
    secret = SECRETS["basic"]
    header = base64.b64encode(f"{USER}:{secret}".encode()).decode()
    for text in (f"Basic {header}", f"http://{USER}:{quote(secret, safe='')}@h/", repr(secret)):
        assert any(one in text.encode() for one in spellings(secret)), text


class Indexes:
    """A fake index for each kind of secret, and one that is nobody's: the foreign origin."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self.foreign = stack.enter_context(ThreadedFakeUpstream())
        self.by_name: dict[str, ThreadedFakeUpstream] = {}
        for name, secret in SECRETS.items():
            if name in indexes_of(SECRETS):
                auth = secret if name == "bearer" else (USER, secret)
                upstream = stack.enter_context(ThreadedFakeUpstream(auth=auth))
                project = f"{name}-alpha"
                small = make_wheel(f"{name}_alpha", "1.0")
                upstream.add(project, small, make_wheel(f"{name}_alpha", "2.0", size_bytes=200_000))
                self.by_name[name] = upstream

    def requests(self) -> Iterator[tuple[str, Any]]:
        """Yield `(index or "", request)` for everything that came in at an origin."""
        for name, upstream in self.by_name.items():
            for request in upstream.requests:
                yield (name if request.origin == "pages" else "", request)
        for request in self.foreign.requests:
            yield "", request


class NoTls(socketserver.BaseRequestHandler):
    """Answers in clear, whatever it is sent."""

    def handle(self) -> None:
        """Say so and leave."""
        self.request.recv(1)
        self.request.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@contextlib.contextmanager
def port_without_tls() -> Iterator[int]:
    """Yield a port at which every TLS handshake fails."""
    with socketserver.TCPServer(("127.0.0.1", 0), NoTls) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def configure(directory: Path, indexes: Indexes, closed_port: int, no_tls_port: int) -> Path:
    """Write the settings, and the files with secrets; return the configuration file."""
    keys = directory / "keys"
    keys.mkdir()
    (keys / "token").write_text(SECRETS["bearer"])
    (keys / "password").write_text(SECRETS["filed"])
    netrc = f'machine localhost login {USER} password "{SECRETS["netrc"]}"\n'
    (directory / ".netrc").write_text(netrc)
    urls = {name: upstream.url for name, upstream in indexes.by_name.items()}
    password = quote(SECRETS["inurl"], safe="")
    proxy = f"http://{USER}:{quote(SECRETS['proxied'], safe='')}@127.0.0.1:{closed_port}"
    no_tls = f"https://127.0.0.1:{no_tls_port}/simple/"
    tables: list[dict[str, object]] = [
        {"name": "basic", "url": urls["basic"], "username": USER, "password": SECRETS["basic"]},
        {"name": "bearer", "url": urls["bearer"], "token_file": "keys/token"},
        {"name": "filed", "url": urls["filed"], "username": USER, "password_file": "keys/password"},
        {"name": "inurl", "url": urls["inurl"].replace("//", f"//{USER}:{password}@")},
        {"name": "netrc", "url": urls["netrc"].replace("127.0.0.1", "localhost")},
        {"name": "proxied", "url": indexes.foreign.url, "proxy": proxy},
        {"name": "broken", "url": no_tls, "username": USER, "password": SECRETS["broken"]},
    ]
    path = directory / "pypicached.toml"
    lines: list[str] = []
    for table in tables:
        table["projects"] = [f"{table['name']}-*"]
        lines += ["[[index]]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    path.write_text("\n".join(lines) + "\n")
    return path


class Searched:
    """Everything that the daemon gave away, by where."""

    def __init__(self, daemon: DaemonProcess) -> None:
        self._daemon = daemon
        self.found: dict[str, bytes] = {}
        self.statuses: dict[str, int] = {}

    def get(self, path: str, **headers: str) -> bytes:
        """Ask the daemon as a client, and keep all of its answer; return the body."""
        with self._daemon.asking(path, **headers) as answer:
            body = answer.read()
            head = f"{answer.status} {answer.reason}\n{answer.headers}".encode()
        place = f"GET {path} {headers}"
        self.found[place] = self.found.get(place, b"") + head + body
        self.statuses[path] = answer.status
        return body

    def run(self, *arguments: str) -> None:
        """Run a command and keep what it prints."""
        done = self._daemon.command(*arguments)
        self.found[" ".join(arguments)] = f"{done.stdout}{done.stderr}".encode()

    def files(self, index: str) -> list[str]:
        """Return the paths of the files on an index's page of alpha."""
        path = f"/simple/{index}-alpha/"
        page = json.loads(self.get(path, Accept=JSON))
        return [urljoin(path, file["url"]) for file in page["files"]]

    def leaks(self) -> set[tuple[str, str]]:
        """Return `(where, index)` of every secret that is found."""
        sought = [(name, one) for name, secret in SECRETS.items() for one in spellings(secret)]
        return {
            (place, name)
            for place, content in self.found.items()
            for name, spelling in sought
            if spelling in content
        }

    def keep_processes(self) -> None:
        """Keep the command lines of the daemon and its children, as `ps` shows them."""
        pids = [self._daemon.pid]
        for task in Path(f"/proc/{self._daemon.pid}/task").iterdir():
            pids += map(int, (task / "children").read_text().split())
        for pid in pids:
            for name in ("cmdline", "comm"):
                self.found[f"ps {pid} {name}"] = Path(f"/proc/{pid}/{name}").read_bytes()

    def keep_tree(self, directory: Path) -> None:
        """Keep every file below a directory: ledger and its WAL, blobs, lists."""
        for path in directory.rglob("*"):
            if path.is_file():
                self.found[str(path)] = path.read_bytes()


def live_through(searched: Searched, indexes: Indexes) -> None:
    """Ask for everything, on good days and on bad ones."""
    for name, upstream in indexes.by_name.items():
        for path in searched.files(name):
            for _ in range(2):  # a miss and a hit
                searched.get(path)
                searched.get(f"{path}.metadata")
            searched.get(path, Range="bytes=1-20")
        searched.get(f"/{name}/simple/{name}-alpha/", Accept="text/html")
        searched.get(f"/{name}/simple/")
        # Redirects to a foreign origin, with what the index was sent written into them.
        secret = quote(SECRETS[name], safe="")
        away = indexes.foreign.url.replace("//", f"//{USER}:{secret}@")
        indexes.foreign.add(f"{name}-beta", make_wheel(f"{name}_beta", "1.0"))
        upstream.redirect(f"/simple/{name}-beta/", f"{away}{name}-beta/")
        searched.get(f"/simple/{name}-beta/", Accept=JSON)
        # Links that carry the credentials, as some indexes make them.
        links = upstream.files_origin.replace("//", f"//{USER}:{secret}@")
        linked = make_wheel(f"{name}_gamma", "1.0")
        gone = make_wheel(f"{name}_gamma", "2.0")
        upstream.add(f"{name}-gamma", linked, gone)
        urls = {
            linked.filename: upstream.url_of(linked).replace(upstream.files_origin, links),
            gone.filename: f"{links}/gone/{gone.filename}",
        }
        upstream.add(f"{name}-gamma", urls=urls)
        page = f"/simple/{name}-gamma/"
        for file in json.loads(searched.get(page, Accept=JSON))["files"]:
            searched.get(urljoin(page, file["url"]))
        upstream.serve(f"/simple/{name}-junk/", b"\x00junk", "application/octet-stream")
        searched.get(f"/simple/{name}-junk/")
        # Credentials that have lapsed, then an outage.
        upstream.require((USER, "changed"))
        for path in ("alpha", "denied"):
            searched.get(f"/simple/{name}-{path}/", **{"Cache-Control": "no-cache"})
        upstream.down()
        searched.get(f"/simple/{name}-down/")
        upstream.up()
    for name in ("proxied", "broken"):  # a proxy that is not there, a port without TLS
        searched.get(f"/simple/{name}-alpha/")
    for path in (
        "/",
        "/metrics",
        "/healthz",
        "/readyz",
        "/simple/",
        "/simple/unknown/",
        "/nothing",
    ):
        searched.get(f"/{path}")


COMMANDS = (
    ("status",),
    ("status", "--json"),
    ("status", "--check"),
    ("stats",),
    ("stats", "--json"),
    ("list",),
    ("list", "basic-alpha", "--json"),
    ("verify", "--json"),
    ("client", "pip"),
    ("client", "env"),
)


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.timeout(180)
def test_secrets__rule_62_are_nowhere(
    directory: Path, make_daemon: MakeDaemon, log_format: str
) -> None:
    """No secret is in any answer, log, metric, command's output, file of the cache or `ps`."""
    with contextlib.ExitStack() as stack:
        closed = stack.enter_context(socket.socket())
        closed.bind(("127.0.0.1", 0))  # nobody listens: refused
        indexes = Indexes(stack)
        no_tls = stack.enter_context(port_without_tls())
        config = configure(directory, indexes, closed.getsockname()[1], no_tls)
        daemon = make_daemon(
            PYPICACHED_SERVER__LOG_LEVEL="debug",
            PYPICACHED_SERVER__LOG_FORMAT=log_format,
            PYPICACHED_SERVER__ACCESS_LOG="true",
            PYTHONASYNCIODEBUG="1",
        )
        daemon.start("--config", str(config))
        searched = Searched(daemon)
        live_through(searched, indexes)
        for arguments in COMMANDS:
            searched.run(*arguments)
        for command in ("show", "check"):
            searched.run("config", command, str(config))
            searched.run("config", command, str(config), "--json")
        searched.run("backup", str(directory / "backup.sqlite"))
        searched.found["backup"] = (directory / "backup.sqlite").read_bytes()
        searched.keep_processes()
        searched.keep_tree(daemon.cache)
        # The interpreter's own last words: where every thread stands.
        assert daemon.stop(signal.SIGABRT) == -signal.SIGABRT
        searched.keep_tree(daemon.cache)
        for name in ("stderr.log", "stdout.log"):
            searched.found[name] = (directory / name).read_bytes()
        asked = list(indexes.requests())
    for number, (name, request) in enumerate(asked):
        # At its own origin, the index's own secret is all that is shown.
        shown = {k: v for k, v in request.headers.items() if k != "authorization" or not name}
        searched.found[f"request {number} to {name or 'others'}"] = repr(shown).encode()
    assert searched.leaks() == set()
    check_that_all_happened(searched, asked)


def check_that_all_happened(searched: Searched, asked: list[tuple[str, Any]]) -> None:
    """The search is worth something only if secrets were used, and things went wrong."""
    used = {name for name, request in asked if "authorization" in request.headers}
    assert used == set(indexes_of(SECRETS))
    assert any(name == "" for name, _ in asked)
    log = searched.found["stderr.log"].decode()
    for words in ("401", "proxy cannot be reached", "TLS", "is no", "Fatal Python error"):
        assert words in log, words
    for index in SECRETS:
        assert index in log
    statuses = searched.statuses
    for index in indexes_of(SECRETS):
        assert statuses[f"/simple/{index}-alpha/"] == 200
        assert statuses[f"/simple/{index}-beta/"] == 200
        assert statuses[f"/simple/{index}-junk/"] == 502
        assert statuses[f"/simple/{index}-denied/"] == 502
    assert statuses["/simple/broken-alpha/"] == statuses["/simple/proxied-alpha/"] == 503
    shown = next(v for k, v in searched.found.items() if k.startswith("config show"))
    assert shown.count(b"********") >= 5
