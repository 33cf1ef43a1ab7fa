"""`pypicached serve` with a mine in it, again and again without the cost of its imports.

`python -m tests.crash.mined` has imported the daemon and forks one for each line of its input:
what to run, as JSON. It answers with the process id at once and the exit status at its end.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

from tests.crash.mine import Mine
from tests.e2e.process import DaemonProcess

ROOT = Path(__file__).parents[2]


class MinedDaemon(DaemonProcess):
    """A daemon that dies where `mine` lies; `migrations` are added to those of the ledger."""

    def __init__(self, directory: Path, index_url: str, **environment: str) -> None:
        super().__init__(directory, index_url, **environment)
        self.mine = Mine(directory / "mine")
        self.migrations: list[str] = []
        self._pid = 0
        self._mother = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.mined"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        )

    def _launch(self, line: list[str]) -> None:
        assert self._pid == 0, "it runs already"
        order = {
            "line": line[line.index("serve") :],
            "directory": str(self.directory),
            "environment": self.environment,
            "migrations": self.migrations,
        }
        assert self._mother.stdin is not None
        self._mother.stdin.write(json.dumps(order) + "\n")
        self._mother.stdin.flush()
        self._pid = self._read()

    def _read(self) -> int:
        assert self._mother.stdout is not None
        return int(self._mother.stdout.readline())

    @property
    def pid(self) -> int:
        """The process id of a running daemon."""
        return self._pid

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        os.kill(self._pid, number)

    def wait(self) -> int:
        """Wait for its end and return the exit code (negative: the signal that ended it)."""
        code = self._read()
        self._pid = 0
        return code

    def close(self) -> None:
        """End it however it stands, and whoever forks it."""
        if self._pid:
            self.stop(signal.SIGKILL)
        assert self._mother.stdin is not None
        assert self._mother.stdout is not None
        self._mother.stdin.close()
        self._mother.wait()
        self._mother.stdout.close()
        super().close()


def main() -> None:
    """Fork a daemon per line until the input ends."""
    # What a daemon brings in at its start, so that each fork has it.
    for module in ("pypicached.cli.app", "pypicached.daemon", "pypicached.settings"):
        importlib.import_module(module)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _serve(json.loads(line))
        _tell(child)
        _, status = os.waitpid(child, 0)
        _tell(os.waitstatus_to_exitcode(status))


def _tell(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def _serve(order: dict[str, Any]) -> NoReturn:
    """Become the daemon."""
    directory = Path(order["directory"])
    _redirect(directory)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.argv = ["pypicached", *order["line"]]
    ledger: Any = importlib.import_module("pypicached.ledger.connection")
    ledger.MIGRATIONS += tuple(order["migrations"])
    ledger.VERSION = len(ledger.MIGRATIONS)
    code = 1
    try:
        Mine(directory / "mine").watch(directory)
        importlib.import_module("pypicached.__main__").main()
    except SystemExit as done:
        code = done.code if isinstance(done.code, int) else 0
    except Exception:
        logging.exception("the daemon ended")
    finally:
        sys.stderr.flush()
        os._exit(code)


def _redirect(directory: Path) -> None:
    places = (Path(os.devnull), directory / "stdout.log", directory / "stderr.log")
    for number, path in enumerate(places):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(fd, number)
        os.close(fd)


if __name__ == "__main__":
    main()
