"""`pypicached serve` as a process of its own, with a home and an environment of its own.

It is watched through sd_notify(3), as a service manager does, so that no test polls or sleeps.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self
from urllib.parse import urljoin, urlsplit

from tests.e2e.units import Units

WAIT_SECONDS = 20.0
PROGRAM = (sys.executable, "-m", "pypicached")
JSON = "application/vnd.pypi.simple.v1+json"


class DaemonProcess:
    """One daemon on one directory; it can be stopped and started again there.

    `directory` must have a short path: it holds a Unix socket. `environment` is added to the
    nearly empty one that the process gets.
    """

    def __init__(self, directory: Path, index_url: str | None = None, **environment: str) -> None:
        self.directory = directory
        self.cache = directory / "cache"
        self.socket = directory / "control.sock"
        self.url = ""
        self.environment = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(directory),
            "PYPICACHED_SOCKET": str(self.socket),
            "PYPICACHED_SERVER__LISTEN": "127.0.0.1:0",
            "PYPICACHED_CACHE__DIRECTORY": str(self.cache),
            "PYPICACHED_CACHE__MIN_FREE": "1MB",
            **({"PYPICACHED_INDEX_URL": index_url} if index_url else {}),
            **environment,
        }
        # What a service manager would hand over at each start.
        self.units = Units()
        self._log = directory / "stderr.log"
        self._notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notices.bind(str(directory / "notify"))
        self.environment["NOTIFY_SOCKET"] = str(directory / "notify")
        self._process: subprocess.Popen[bytes] | None = None

    # ── life ─────────────────────────────────────────────────────────────────────────────────

    def start(self, *arguments: str, within: Sequence[str] = ()) -> Self:
        """Start it and return once it serves; AssertionError with its log if it does not.

        `within` is a command that runs another one, as `unshare` does.
        """
        self.launch(*arguments, within=within)
        ready = self.wait_notice("READY=1")
        self.url = ready.partition("STATUS=serving on ")[2].split(", ")[0]
        return self

    def launch(self, *arguments: str, within: Sequence[str] = ()) -> None:
        """Start it and return at once."""
        self._launch([*within, *PROGRAM, "serve", *arguments])

    def _launch(self, line: list[str]) -> None:
        assert self._process is None, "it runs already"
        with self._log.open("ab") as log, (self.directory / "stdout.log").open("ab") as output:
            self._process = subprocess.Popen(
                [*self.units.within(), *line],
                pass_fds=self.units.descriptors,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=log,
                cwd=self.directory,
            )

    def wait_notice(self, word: str) -> str:
        """Return the next notice that has `word` in it; AssertionError if the process ends."""
        until = time.monotonic() + WAIT_SECONDS
        with self._pidfd() as ended:
            while (left := until - time.monotonic()) > 0:
                watched: list[socket.socket | int] = [self._notices, ended]
                readable, _, _ = select.select(watched, [], [], left)
                if self._notices in readable:
                    notice = self._notices.recv(4096).decode()
                    if word in notice:
                        return notice
                elif readable:
                    break
        raise AssertionError(f"no {word} from the daemon:\n{self.log}")

    def wait_silence(self, word: str, seconds: float) -> None:
        """Return once no notice with `word` in it has come for so long."""
        until = time.monotonic() + WAIT_SECONDS
        silent_since = time.monotonic()
        while (left := silent_since + seconds - time.monotonic()) > 0:
            assert time.monotonic() < until, f"{word} still comes"
            readable, _, _ = select.select([self._notices], [], [], left)
            if readable and word in self._notices.recv(4096).decode():
                silent_since = time.monotonic()

    @property
    def pid(self) -> int:
        """The process id of a running daemon."""
        assert self._process is not None, "it does not run"
        return self._process.pid

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self) -> int:
        """Wait for its end and return the exit code (negative: the signal that ended it)."""
        assert self._process is not None
        code = self._process.wait(WAIT_SECONDS)
        self._process = None
        return code

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it by a signal and return the exit code."""
        self.send(number)
        return self.wait()

    def close(self) -> None:
        """End it however it stands, and close what is ours."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self._notices.close()
        self.units.close()

    @contextlib.contextmanager
    def _pidfd(self) -> Iterator[int]:
        descriptor = os.pidfd_open(self.pid)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    # ── looking and commanding ───────────────────────────────────────────────────────────────

    @property
    def log(self) -> str:
        """What it has written to its standard error, over all its lives."""
        return self._log.read_text()

    @property
    def simple_url(self) -> str:
        """The index URL for clients."""
        return f"{self.url}/simple/"

    def command(
        self, *arguments: str, within: Sequence[str] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end with the same environment; `serve` too, if it has to fail."""
        handed = self.units if arguments[0] == "serve" else Units()
        return subprocess.run(
            [*handed.within(), *within, *PROGRAM, *arguments],
            pass_fds=handed.descriptors,
            env={k: v for k, v in self.environment.items() if k != "NOTIFY_SOCKET"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=WAIT_SECONDS,
            cwd=self.directory,
            check=False,
        )

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Begin a command; it is the caller's to end."""
        return subprocess.Popen(
            [*PROGRAM, *arguments],
            env={k: v for k, v in self.environment.items() if k != "NOTIFY_SOCKET"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.directory,
        )

    def ask(self, *arguments: str) -> Any:
        """Run a command with `--json` that has to succeed, and return its document."""
        done = self.command(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def blobs_of(self, size_bytes: int) -> list[Path]:
        """Return the stored blobs of that size."""
        blobs = (path for path in (self.cache / "blobs").rglob("*") if path.is_file())
        return [path for path in blobs if path.stat().st_size == size_bytes]

    def settle(self) -> None:
        """Return once every download has been committed, which follows behind its readers."""
        while self.ask("status")["downloads"]:
            pass

    def wait_uploaded(self, files: int, seconds: float = WAIT_SECONDS) -> None:
        """Return once it has put so many files into the shared store."""
        until = time.monotonic() + seconds
        while self.ask("status")["store"]["uploaded_files"] < files:
            assert time.monotonic() < until, self.log
            time.sleep(0.05)

    def upstream_requests(self) -> int:
        """Return how many requests it counts as sent to its indexes."""
        counters = self.ask("stats")["indexes"].values()
        return sum(int(index["upstream_requests"]) for index in counters)

    # ── as a client ──────────────────────────────────────────────────────────────────────────

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        """Return status and body of a GET, without following redirects."""
        with self.asking(path, **headers) as answer:
            return answer.status, answer.read()

    @contextlib.contextmanager
    def asking(self, path: str, **headers: str) -> Iterator[http.client.HTTPResponse]:
        """Yield an answer whose body is yet to be read."""
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=WAIT_SECONDS)
        with contextlib.closing(connection):
            connection.request("GET", path, headers=headers)
            yield connection.getresponse()

    def file_paths(self, project: str) -> dict[str, str]:
        """Return filename → absolute path of what a project page lists."""
        page_path = f"/simple/{project}/"
        status, body = self.get(page_path, Accept=JSON)
        assert status == 200, body
        return {
            str(file["filename"]): urljoin(page_path, file["url"])
            for file in json.loads(body)["files"]
        }

    def fetch(self, project: str) -> dict[str, bytes]:
        """Return filename → bytes of everything that a project page lists, fetched from it."""
        got = {name: self.get(path) for name, path in self.file_paths(project).items()}
        assert all(status == 200 for status, _ in got.values()), got
        return {name: body for name, (_, body) in got.items()}
