"""The real pip through a real daemon."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from tests.e2e.clients import installed, pip_version
from tests.e2e.conftest import MakeClient, MakeDaemon, publish_tree
from tests.e2e.process import DaemonProcess
from tests.fake.threaded import ThreadedFakeUpstream
from tests.fake.wheels import make_sdist, make_wheel

pytestmark = pytest.mark.clients

# pip 23.1 and earlier read a key of the JSON page that PEP 714 withdrew.
NEEDS_SIDECARS = pytest.mark.skipif(pip_version() < (23, 2), reason="pip reads sidecars from 23.2")
# Until 25.3 it fetches the wheels that it has chosen for a dry run, too.
LAZY_DRY_RUN = pip_version() >= (25, 3)
NEEDS_UPLOADED_PRIOR_TO = pytest.mark.skipif(
    pip_version() < (26, 0), reason="pip has --uploaded-prior-to from 26.0"
)


@pytest.mark.parametrize("style", ["json", "html"])
def test_pip_install__second_host_asks_no_upstream(
    style: Literal["json", "html"],
    upstream: ThreadedFakeUpstream,
    daemon: DaemonProcess,
    make_client: MakeClient,
    tmp_path: Path,
) -> None:
    """What one client installed, another one without any cache installs from the cache alone."""
    upstream.dialect.style = style
    expected = publish_tree(upstream)
    first = make_client(daemon).pip("install", "--target", str(tmp_path / "one"), "app")
    assert (first.returncode, installed(tmp_path / "one")) == (0, expected), first.stderr
    counted, arrived = daemon.upstream_requests(), len(upstream.requests)
    assert counted == arrived
    second = make_client(daemon).pip("install", "--target", str(tmp_path / "two"), "app")
    assert (second.returncode, installed(tmp_path / "two")) == (0, expected), second.stderr
    assert (daemon.upstream_requests(), len(upstream.requests)) == (counted, arrived)


def test_pip_install__no_cache_dir(
    upstream: ThreadedFakeUpstream, daemon: DaemonProcess, make_client: MakeClient, tmp_path: Path
) -> None:
    """pip without a cache of its own fetches every file once through us, and asks no upstream."""
    expected = publish_tree(upstream)
    client = make_client(daemon)
    for number in range(2):
        target = tmp_path / f"target-{number}"
        done = client.pip("install", "--no-cache-dir", "--target", str(target), "app")
        assert (done.returncode, installed(target)) == (0, expected), done.stderr
    assert upstream.count("*.whl") == len(expected)


def test_pip_install__hash_checking_mode(
    upstream: ThreadedFakeUpstream, daemon: DaemonProcess, make_client: MakeClient, tmp_path: Path
) -> None:
    """The bytes that leave are those that upstream's hashes were written down for."""
    wheel = make_wheel("alpha", "1.0", size_bytes=200_000)
    upstream.add("alpha", wheel)
    locked = tmp_path / "locked.txt"
    locked.write_text(f"alpha==1.0 --hash=sha256:{wheel.sha256}\n")
    for number in range(2):  # cold, then stored
        target = tmp_path / f"target-{number}"
        done = make_client(daemon).pip(
            "install", "--require-hashes", "-r", str(locked), "--target", str(target)
        )
        assert (done.returncode, installed(target)) == (0, {"alpha": "1.0"}), done.stderr


def test_pip_install__sdist_and_only_binary(
    upstream: ThreadedFakeUpstream, daemon: DaemonProcess, make_client: MakeClient, tmp_path: Path
) -> None:
    """A newer sdist is built and installed, unless only wheels are wanted."""
    upstream.add("alpha", make_wheel("alpha", "1.0"), make_sdist("alpha", "2.0"))
    for options, version in ((["--only-binary", ":all:"], "1.0"), ([], "2.0")):
        target = tmp_path / version
        done = make_client(daemon).pip("install", *options, "--target", str(target), "alpha")
        assert (done.returncode, installed(target)) == (0, {"alpha": version}), done.stderr


def test_pip_download__same_bytes(
    upstream: ThreadedFakeUpstream, daemon: DaemonProcess, make_client: MakeClient, tmp_path: Path
) -> None:
    """`pip download` brings wheel and sdist byte for byte, undisturbed by any content coding."""
    files = [make_wheel("alpha", "1.0", size_bytes=300_000), make_sdist("beta", "1.0")]
    for project, file in zip(("alpha", "beta"), files, strict=True):
        upstream.add(project, file)
    done = make_client(daemon).pip("download", "--dest", str(tmp_path / "got"), "alpha", "beta")
    assert done.returncode == 0, done.stderr
    got = {path.name: path.read_bytes() for path in (tmp_path / "got").iterdir()}
    assert got == {file.filename: file.body for file in files}


def test_pip_install__yanked_and_requires_python(
    upstream: ThreadedFakeUpstream, daemon: DaemonProcess, make_client: MakeClient, tmp_path: Path
) -> None:
    """A yanked release and one for another Python are passed over; the first is told when asked."""
    upstream.add("alpha", make_wheel("alpha", "1.0"))
    upstream.add("alpha", make_wheel("alpha", "1.1", yanked="it eats homework"))
    # On the page alone: else the client would find it in the wheel as well.
    upstream.add("alpha", replace(make_wheel("alpha", "1.2"), requires_python=">=4"))
    client = make_client(daemon)
    done = client.pip("install", "--target", str(tmp_path / "best"), "alpha")
    assert installed(tmp_path / "best") == {"alpha": "1.0"}, done.stderr
    done = client.pip("install", "--target", str(tmp_path / "yanked"), "alpha==1.1")
    assert installed(tmp_path / "yanked") == {"alpha": "1.1"}, done.stderr
    assert "it eats homework" in done.stderr + done.stdout


def test_pip_index_versions__all_listed(
    upstream: ThreadedFakeUpstream, daemon: DaemonProcess, make_client: MakeClient
) -> None:
    """`pip index versions` tells every version that upstream lists."""
    publish_tree(upstream)
    done = make_client(daemon).pip("index versions", "lib")
    assert "Available versions: 2.1, 2.0, 1.0" in done.stdout, done.stderr


@NEEDS_SIDECARS
def test_pip_dry_run__sidecars_instead_of_wheels(
    upstream: ThreadedFakeUpstream, daemon: DaemonProcess, make_client: MakeClient, tmp_path: Path
) -> None:
    """Resolving costs sidecars and, unless pip wants them anyway, no wheel."""
    expected = publish_tree(upstream)
    report = tmp_path / "report.json"
    done = make_client(daemon).pip("install", "--dry-run", "--report", str(report), "app")
    assert done.returncode == 0, done.stderr
    metadata = [item["metadata"] for item in json.loads(report.read_text())["install"]]
    assert {one["name"]: one["version"] for one in metadata} == expected
    assert upstream.count("*.whl") == (0 if LAZY_DRY_RUN else len(expected))
    assert upstream.count("*.whl.metadata") == len(expected)


@NEEDS_UPLOADED_PRIOR_TO
def test_pip_install__uploaded_prior_to(
    upstream: ThreadedFakeUpstream, daemon: DaemonProcess, make_client: MakeClient, tmp_path: Path
) -> None:
    """Upload times pass through, so that a client's own cool-down holds newer releases back."""
    upstream.add("alpha", make_wheel("alpha", "1.0", upload_time="2024-01-01T00:00:00Z"))
    upstream.add("alpha", make_wheel("alpha", "2.0", upload_time="2024-06-01T00:00:00.5Z"))
    done = make_client(daemon).pip(
        "install", "--uploaded-prior-to", "2024-03-01", "--target", str(tmp_path / "t"), "alpha"
    )
    assert installed(tmp_path / "t") == {"alpha": "1.0"}, done.stderr


@pytest.mark.parametrize("page_ttl", ["10m", "0"])
def test_pip_install__upstream_gone_after_warm_up(
    page_ttl: str,
    upstream: ThreadedFakeUpstream,
    make_daemon: MakeDaemon,
    make_client: MakeClient,
    tmp_path: Path,
) -> None:
    """With the upstream gone, fresh and expired pages alike install what is cached."""
    expected = publish_tree(upstream)
    daemon = make_daemon(upstream.url, PYPICACHED_CACHE__PAGE_TTL=page_ttl).start()
    make_client(daemon).pip("install", "--target", str(tmp_path / "one"), "app")
    upstream.down()
    done = make_client(daemon).pip("install", "--target", str(tmp_path / "two"), "app")
    assert (done.returncode, installed(tmp_path / "two")) == (0, expected), done.stderr


def test_pip_install__upstream_gone_and_project_unknown(
    upstream: ThreadedFakeUpstream, daemon: DaemonProcess, make_client: MakeClient, tmp_path: Path
) -> None:
    """What is not cached fails while upstream is away, and is there as soon as it is back."""
    upstream.add("alpha", make_wheel("alpha", "1.0"))
    upstream.down()
    client = make_client(daemon)
    arguments = ("--retries", "0", "--target", str(tmp_path / "target"), "alpha")
    done = client.pip("install", *arguments)
    assert (done.returncode, installed(tmp_path / "target")) == (1, {})
    # pip keeps the reason to itself, so it has to be found here.
    assert "answered 503: index pypi:" in daemon.log
    upstream.up()
    # Its own retries outlast the pause in which a failing host is not asked.
    done = client.pip("install", *arguments[2:])
    assert (done.returncode, installed(tmp_path / "target")) == (0, {"alpha": "1.0"}), done.stderr


@pytest.mark.parametrize("size_bytes", [3_000, 300_000])
def test_pip_install__wrong_bytes_upstream(
    size_bytes: int,
    upstream: ThreadedFakeUpstream,
    daemon: DaemonProcess,
    make_client: MakeClient,
    tmp_path: Path,
) -> None:
    """A file that does not match its digest is never installed nor kept; a right one is."""
    wheel = make_wheel("alpha", "1.0", size_bytes=size_bytes)
    upstream.add("alpha", wheel)
    upstream.fault("*.whl", "wrong_bytes")
    client = make_client(daemon)
    arguments = ("--retries", "0", "--target", str(tmp_path / "target"), "alpha")
    done = client.pip("install", *arguments)
    assert (done.returncode != 0, installed(tmp_path / "target")) == (True, {}), done.stdout
    assert daemon.blobs_of(len(wheel.body)) == []
    assert "did not match" in "".join(daemon.ask("status")["problems"])
    upstream.heal()
    done = client.pip("install", *arguments)
    assert (done.returncode, installed(tmp_path / "target")) == (0, {"alpha": "1.0"}), done.stderr


def test_pip_install__is_remembered(
    upstream: ThreadedFakeUpstream, daemon: DaemonProcess, make_client: MakeClient, tmp_path: Path
) -> None:
    """`who` names pip with its version for each file that it installed, and for nothing else."""
    expected = publish_tree(upstream)
    done = make_client(daemon).pip("install", "--target", str(tmp_path / "one"), "app")
    assert done.returncode == 0, done.stderr
    rows = daemon.ask("who")
    normalized = {name.replace("_", "-"): version for name, version in expected.items()}
    assert {row["project"]: row["version"] for row in rows} == normalized
    release = ".".join(map(str, pip_version()))
    assert {row["agent"].startswith(f"pip/{release}") for row in rows} == {True}
