"""A Debian that is booted by its own systemd, in namespaces, with a network of its own.

Its disk is an overlay: what it writes goes to a directory, what lies below is shared and stays as
it is. Every process and mount of a machine belongs to one process of ours and ends with it, however
the test ends.
"""

from __future__ import annotations

import ctypes
import os
import re
import select
import shlex
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from tests.deb.cgroups import make_groups, remove_groups

BOOT_SECONDS = 60.0
RUN_SECONDS = 120.0
# SIGRTMIN+4 of systemd(1): power off.
_POWER_OFF = signal.SIGRTMIN + 4
_CLONE_NEWNET = 0x40000000

# The first process of a PID namespace: with it goes everything it has started. The temporary file
# system takes what nspawn leaves in /run of the host.
_SCRIPT = """
for group in $GROUPS_OF_MACHINE; do echo 0 > "$group/cgroup.procs"; done
mount -t overlay -o "lowerdir=$LOWER,upperdir=$DISK/upper,workdir=$DISK/work" overlay "$DISK/root"
mkdir -p /run/systemd/nspawn
mount -t tmpfs tmpfs /run/systemd/nspawn
exec "$@"
"""
_APART = (
    *("setpriv", "--pdeathsig", "KILL"),
    *("unshare", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc"),
)
_NSPAWN = (
    *("systemd-nspawn", "--boot", "--notify-ready=yes", "--console=pipe"),
    *("--register=no", "--keep-unit", "--private-network"),
    *("--resolv-conf=off", "--timezone=off", "--link-journal=no"),
)


class Machine:
    """One machine over the layers below (the uppermost first); `with` boots it and ends it.

    `disk` is an empty directory with a short path (it holds a Unix socket).
    """

    def __init__(self, disk: Path, below: Sequence[Path]) -> None:
        self.disk = disk
        self.leader = 0
        self._below = below
        self._process: subprocess.Popen[bytes] | None = None
        self._groups: list[Path] = []
        for name in ("upper", "work", "root"):
            (disk / name).mkdir()

    @property
    def upper(self) -> Path:
        """What differs from the layers below; a layer itself once the machine is off."""
        return self.disk / "upper"

    def place(self, path: str, text: str) -> None:
        """Write a file before it is booted."""
        where = self.upper / path.lstrip("/")
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_text(text)

    # ── life ─────────────────────────────────────────────────────────────────────────────────

    def __enter__(self) -> Self:
        self._groups = make_groups(f"deb-{uuid.uuid4().hex[:12]}")
        try:
            self._boot()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _boot(self) -> None:
        address = str(self.disk / "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
            notices.bind(address)
            with (self.disk / "console.log").open("wb") as console:
                line = [*_NSPAWN, "--machine=buildhost", "-D", str(self.disk / "root")]
                self._process = subprocess.Popen(
                    [*_APART, "sh", "-euc", _SCRIPT, "sh", *line],
                    env=self._environment() | {"NOTIFY_SOCKET": address},
                    stdin=subprocess.DEVNULL,
                    stdout=console,
                    stderr=subprocess.STDOUT,
                )
            self._await_ready(notices, self._process)
        # unshare → nspawn → the machine's first process.
        nspawn = _only_child(self._process.pid)
        self.leader = _only_child(nspawn)

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "LOWER": ":".join(str(layer) for layer in self._below),
            "DISK": str(self.disk),
            "GROUPS_OF_MACHINE": " ".join(str(group) for group in self._groups),
        }

    def _await_ready(self, notices: socket.socket, process: subprocess.Popen[bytes]) -> None:
        until = time.monotonic() + BOOT_SECONDS
        while (left := until - time.monotonic()) > 0 and process.poll() is None:
            readable, _, _ = select.select([notices], [], [], min(left, 0.2))
            if readable and "READY=1" in notices.recv(4096).decode():
                return
        raise AssertionError(f"the machine did not boot:\n{self.console}")

    def power_off(self) -> None:
        """Shut it down as its administrator would."""
        assert self._process is not None
        os.kill(self.leader, _POWER_OFF)
        self._process.wait(BOOT_SECONDS)

    def _end(self) -> None:
        if self._process is not None:
            # unshare takes the whole namespace along.
            self._process.kill()
            self._process.wait()
        remove_groups(self._groups)
        self._process, self._groups = None, []

    @property
    def console(self) -> str:
        """What it said on its console."""
        return (self.disk / "console.log").read_text(errors="replace")

    # ── commands ─────────────────────────────────────────────────────────────────────────────

    def run(
        self,
        *command: str,
        user: str = "root",
        check: bool = True,
        seconds: float = RUN_SECONDS,
        **environment: str,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in it as that user, with a login's environment; AssertionError if it fails.

        Without `check` its exit code is the caller's to see.
        """
        done = subprocess.run(
            self.line(*command, user=user, **environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
        if check and done.returncode != 0:
            raise AssertionError(
                f"{shlex.join(command)} → {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return done

    def out(self, *command: str, user: str = "root") -> str:
        """Run a command that has to succeed, and return what it printed, less the last newline."""
        return self.run(*command, user=user).stdout.rstrip("\n")

    def shell(self, script: str, user: str = "root") -> str:
        """Run a shell script that has to succeed, and return what it printed."""
        return self.out("sh", "-euc", script, user=user)

    def line(self, *command: str, user: str = "root", **environment: str) -> list[str]:
        """Return the command line that runs a command in it, from outside."""
        given = {"LANG": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive", **environment}
        as_user = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--reset-env"]
        variables = [f"{name}={value}" for name, value in given.items()]
        enter = ["nsenter", f"--target={self.leader}", "--all", "--"]
        return [*enter, *as_user, "--", "env", *variables, *command]

    def in_network(self, *command: str) -> list[str]:
        """Return the command line that runs a program of this host in the machine's network."""
        return ["nsenter", f"--net=/proc/{self.leader}/ns/net", "--", *command]

    def enter_network(self) -> None:
        """Move the calling thread, and only it, into the machine's network, for good."""
        libc = ctypes.CDLL(None, use_errno=True)
        descriptor = os.open(f"/proc/{self.leader}/ns/net", os.O_RDONLY)
        try:
            if libc.setns(descriptor, _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
        finally:
            os.close(descriptor)

    # ── files ────────────────────────────────────────────────────────────────────────────────

    def path(self, path: str) -> Path:
        """Return where this host sees a file of the machine (mind absolute links in there)."""
        return Path(f"/proc/{self.leader}/root") / path.lstrip("/")

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file in it, with the directories above."""
        where = self.path(path)
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_text(text)
        where.chmod(mode)

    def read(self, path: str) -> str:
        """Return the text of a file in it."""
        return self.path(path).read_text()

    def exists(self, path: str) -> bool:
        """Tell whether there is something of that name in it."""
        return os.path.lexists(self.path(path))

    # ── services ─────────────────────────────────────────────────────────────────────────────

    def systemctl(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run systemctl; on failure the service's log is told, too."""
        done = self.run("systemctl", *words, check=False)
        if check and done.returncode != 0:
            raise AssertionError(
                f"systemctl {shlex.join(words)} → {done.returncode}\n"
                f"{done.stdout}{done.stderr}{self.journal()}"
            )
        return done

    def state(self, unit: str) -> str:
        """Return the active state of a unit."""
        return self.systemctl("is-active", unit, check=False).stdout.strip()

    def pid(self) -> str:
        """Return the daemon's main process, as the machine counts them."""
        return self.show("pypicached.service", "MainPID")

    def kill(self, name: str) -> str:
        """Send the daemon's main process a signal, and return which process that was."""
        pid = self.pid()
        # The shell's own: a minimal Debian has no other.
        self.shell(f"kill -{name} {pid}")
        return pid

    def show(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return self.out("systemctl", "show", "--value", "-p", name, unit)

    def journal(self, *words: str) -> str:
        """Return what the service logged, without time and host."""
        wanted = words or ("-u", "pypicached*")
        return self.out("journalctl", "--no-pager", "-o", "cat", *wanted)

    def wait_for(self, condition: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
        """Return once the condition holds; AssertionError with the log if it never does."""
        until = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > until:
                raise AssertionError(f"{what}: not within {seconds} s\n{self.journal()}")
            time.sleep(0.05)


def _only_child(pid: int) -> int:
    children = re.findall(r"\d+", Path(f"/proc/{pid}/task/{pid}/children").read_text())
    assert len(children) == 1, (pid, children)
    return int(children[0])
