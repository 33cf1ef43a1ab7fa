"""The program as root runs it, on an /etc of its own, with a real daemon, the real pip and uv.

/etc is a directory of the test's in a mount namespace (mount_namespaces(7)): this host's own is
neither seen nor touched.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pypicached_client as program
import pytest

from tests.e2e.clients import UV, installed
from tests.e2e.conftest import MakeDaemon, publish_tree
from tests.e2e.process import DaemonProcess
from tests.fake.threaded import ThreadedFakeUpstream

# What programs need of /etc to run at all.
_NEEDED = ("passwd", "group", "hosts", "nsswitch.conf", "ld.so.cache", "alternatives")
_BIND = 'mount --bind "$0" /etc && '
_READ_ONLY = "mount -o remount,bind,ro /etc && "


class Etc:
    """A directory that commands see as /etc; what they write there stays."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "etc"
        self.home = directory / "home"
        self.directory.mkdir()
        self.home.mkdir()
        for name in _NEEDED:
            source = Path("/etc", name)
            if source.is_dir():
                shutil.copytree(source, self.directory / name, symlinks=True)
            elif source.exists():
                shutil.copy(source, self.directory)

    def run(
        self, *line: str, prepare: str = "", as_user: Sequence[str] = (), **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command that sees it, with no variables but these."""
        script = f'{_BIND}{prepare}exec "$@"'
        return subprocess.run(
            ["unshare", "--mount", "sh", "-c", script, str(self.directory), *as_user, *line],
            env={"PATH": os.environ["PATH"], "HOME": str(self.home), **environment},
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )

    def client(
        self, *arguments: str, prepare: str = "", as_user: Sequence[str] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run the program."""
        return self.run(program.__file__, *arguments, prepare=prepare, as_user=as_user)

    def pip(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the real pip, told nothing of any index."""
        own = {"PIP_ROOT_USER_ACTION": "ignore", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        return self.run(sys.executable, "-m", "pip", *arguments, **own, **environment)


@pytest.fixture
def etc() -> Iterator[Etc]:
    """Return an /etc; skips the test where that is not allowed."""
    if os.geteuid() != 0:
        pytest.skip("needs root, for a mount namespace with an /etc of its own")
    with tempfile.TemporaryDirectory(prefix="client-") as path:
        # Other users are to come in.
        Path(path).chmod(0o755)
        made = Etc(Path(path))
        if made.run("true").returncode != 0:
            pytest.skip("this host does not let us mount a directory")
        yield made


def test_real__pip_and_uv_use_the_cache(
    etc: Etc, upstream: ThreadedFakeUpstream, daemon: DaemonProcess, tmp_path: Path
) -> None:
    """After `enable --uv` both install through the daemon, told nothing of it; then undone."""
    expected = publish_tree(upstream)
    before = sorted(path.name for path in etc.directory.iterdir())
    done = etc.client("enable", daemon.url, "--uv")
    assert (done.returncode, done.stderr) == (0, "")
    done = etc.pip("install", "--target", str(tmp_path / "pip"), "app")
    assert (done.returncode, installed(tmp_path / "pip")) == (0, expected), done.stderr
    line = ["pip", "install", "--target", str(tmp_path / "uv"), "--python", sys.executable, "app"]
    done = etc.run(str(UV), *line, UV_PYTHON_DOWNLOADS="never")
    assert (done.returncode, installed(tmp_path / "uv")) == (0, expected), done.stderr
    # Each file has come from upstream once, and that is all that has come.
    assert len(upstream.requests) == daemon.upstream_requests()
    assert etc.client("status").returncode == 0
    assert etc.client("disable").returncode == 0
    assert sorted(path.name for path in etc.directory.iterdir()) == before


def test_real__status_of_a_stopped_daemon(etc: Etc, daemon: DaemonProcess) -> None:
    """A daemon that has gone is a problem, and the exit code of monitoring."""
    assert etc.client("enable", daemon.url).returncode == 0
    daemon.stop()
    done = etc.client("status", "--json")
    document = json.loads(done.stdout)
    reason = f"{daemon.simple_url}: nothing answers there (Connection refused)"
    assert (done.returncode, document["problems"]) == (1, [reason])


def test_real__ordinary_user(etc: Etc, daemon: DaemonProcess) -> None:
    """An ordinary user may ask for the status, and is told who may do the rest."""
    if not Path(program.__file__).resolve().parent.stat().st_mode & 0o005:
        pytest.skip("other users do not come as far as this checkout")
    nobody = pwd.getpwnam("nobody")
    as_user = [
        "setpriv",
        f"--reuid={nobody.pw_uid}",
        f"--regid={nobody.pw_gid}",
        "--clear-groups",
    ]
    assert etc.client("enable", daemon.url).returncode == 0
    assert etc.client("status", as_user=as_user).returncode == 0
    for command in ("enable", "disable"):
        done = etc.client(command, as_user=as_user)
        assert (done.returncode, done.stderr) == (
            4,
            f"pypicached-client: only root may do this: sudo pypicached-client {command}\n",
        )


def test_real__read_only(etc: Etc, daemon: DaemonProcess) -> None:
    """An /etc that cannot be written is one sentence for each command."""
    done = etc.client("enable", daemon.url, prepare=_READ_ONLY)
    assert (done.returncode, done.stderr) == (
        1,
        "pypicached-client: cannot write /etc/pip.conf: Read-only file system\n",
    )
    assert etc.client("enable", daemon.url).returncode == 0
    done = etc.client("disable", prepare=_READ_ONLY)
    assert (done.returncode, done.stderr) == (
        1,
        "pypicached-client: cannot remove /etc/pip.conf: Read-only file system\n",
    )


def test_real__named_index(daemon: DaemonProcess) -> None:
    """One index of a daemon can be chosen by its own address; one that it has not, cannot."""
    (name,) = (index["name"] for index in daemon.ask("status")["indexes"])
    found = [
        program.ask(program.parse_address(f"{daemon.url}{path}"))
        for path in ("", f"/{name}/simple/", "/other/simple/")
    ]
    assert [bool(reply.server) for reply in found] == [True, True, False]
    assert found[2].reason == "the pypicached there has no such index"
    # Who only looks costs no upstream request.
    assert daemon.upstream_requests() == 0


def test_real__refused_by_admission(
    make_daemon: MakeDaemon, upstream: ThreadedFakeUpstream
) -> None:
    """A host that may not connect is told so."""
    daemon = make_daemon(upstream.url, PYPICACHED_SERVER__ALLOW_FROM="192.0.2.0/24").start()
    reply = program.ask(program.parse_address(daemon.url))
    assert "refuses this host" in reply.reason


_ASK_PIP = """
import json
from pip._internal.commands import create_command
values = create_command("install").parser.get_default_values()
print(json.dumps([values.index_url, values.extra_index_urls, bool(values.no_index)]))
"""


@pytest.mark.parametrize(
    ("files", "variables"),
    [
        ({"/etc/pip.conf": "index-url=a"}, {}),
        ({"/etc/xdg/pip/pip.conf": "index-url=a", "/etc/pip.conf": "index-url=b"}, {}),
        ({"/etc/xdg/pip/pip.conf": "[install]\nindex_url=a", "/etc/pip.conf": "index-url=b"}, {}),
        ({"/etc/pip.conf": "index-url=a", "~/.pip/pip.conf": "--index-url=b"}, {}),
        ({"~/.config/pip/pip.conf": "index-url=a", "~/.pip/pip.conf": "index-url=b"}, {}),
        ({"/etc/pip.conf": "index-url=a", "~/.pip/pip.conf": "index-url="}, {}),
        (
            {"/etc/pip.conf": "index-url=a", "~/x/pip.conf": "index-url=b"},
            {"XDG_CONFIG_HOME": "~/x"},
        ),
        ({"/etc/pip.conf": "index-url=a", "~/x": "index-url=b"}, {"PIP_CONFIG_FILE": "~/x"}),
        (
            {"/etc/pip.conf": "index-url=a", "~/x": "no-index=1", "~/.pip/pip.conf": "index-url=c"},
            {"PIP_CONFIG_FILE": "~/x"},
        ),
        ({"/etc/pip.conf": "index-url=a"}, {"PIP_CONFIG_FILE": "/dev/null"}),
        ({"/etc/pip.conf": "index-url=a"}, {"PIP_INDEX_URL": "b", "PIP_EXTRA_INDEX_URL": "c d"}),
        ({"/etc/pip.conf": "extra-index-url=a b", "~/.pip/pip.conf": "extra-index-url=c"}, {}),
        ({"/etc/pip.conf": "no-index=yes", "~/.pip/pip.conf": "no-index=off"}, {}),
    ],
)
def test_real__as_pip_sees_it(etc: Etc, files: dict[str, str], variables: dict[str, str]) -> None:
    """What is told of pip's settings is what the real pip goes by."""
    home = str(etc.home)
    for path, text in files.items():
        place = path.replace("~", home).replace("/etc", str(etc.directory))
        Path(place).parent.mkdir(parents=True, exist_ok=True)
        Path(place).write_text(text if text.startswith("[") else f"[global]\n{text}\n")
    variables = {name: value.replace("~", home) for name, value in variables.items()}
    done = etc.run(sys.executable, "-c", _ASK_PIP, **variables)
    assert done.returncode == 0, done.stderr
    index, extra, refused = json.loads(done.stdout)
    # The program itself, where it sees the same /etc.
    done = etc.run(
        "/usr/bin/python3",
        "-c",
        "import json, sys; sys.path.insert(0, sys.argv[1]); import pypicached_client as program\n"
        "found, _ = program.find_pip_settings(program.this_host())\n"
        "print(json.dumps({key: setting.value for key, setting in found.items()}))",
        str(Path(program.__file__).parent),
        **variables,
    )
    found = json.loads(done.stdout)
    assert found.get("index-url", "DEFAULT") == (index if len(index) == 1 else "DEFAULT")
    assert found.get("extra-index-url", "").split() == extra
    assert (found.get("no-index", "0") in ("1", "yes")) == refused
