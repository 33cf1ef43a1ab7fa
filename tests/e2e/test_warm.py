"""`pypicached warm`: what a build needs is here before the build, and then nobody is asked."""

from __future__ import annotations

import json
import signal
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.clients import installed
from tests.e2e.conftest import MakeClient, MakeDaemon
from tests.e2e.process import DaemonProcess
from tests.fake import DistFile
from tests.fake.threaded import ThreadedFakeUpstream
from tests.fake.wheels import make_sdist, make_wheel

TARGETS = (
    *("--python", "3.11", "--python", "3.13"),
    *("--platform", "linux-x86_64", "--platform", "linux-aarch64"),
)
PLATFORMS = {"linux-x86_64": "manylinux_2_17_x86_64", "linux-aarch64": "manylinux_2_17_aarch64"}


def publish(upstream: ThreadedFakeUpstream) -> None:
    """Publish `app`, what it needs by target, and what nobody needs."""
    needs = ["lib>=2", "fast", "old; python_version<'3.12'", "tool[more]"]
    upstream.add("app", make_wheel("app", "1.0", requires=needs), make_wheel("app", "0.9"))
    for version in ("1.0", "2.0", "2.1"):
        upstream.add("lib", make_wheel("lib", version, size_bytes=150_000))
    for python in ("cp311", "cp313"):
        for platform in PLATFORMS.values():
            tag = f"{python}-{python}-{platform}"
            upstream.add("fast", make_wheel("fast", "3.0", tag=tag, size_bytes=80_000))
    upstream.add("old", make_wheel("old", "1.0"))
    more = make_wheel("tool", "1.0", requires=["extra; extra == 'more'"], extras=["more"])
    upstream.add("tool", more)
    upstream.add("extra", make_wheel("extra", "1.0"))
    upstream.add("unwanted", make_wheel("unwanted", "1.0"))


def warm(daemon: DaemonProcess, *arguments: str, code: int = 0) -> dict[str, Any]:
    """Run it with `--json` and return its document."""
    done = daemon.command("warm", *arguments, "--json")
    assert done.returncode == code, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def outcomes(document: dict[str, Any]) -> dict[str, str]:
    return {item["filename"] or item["project"]: item["outcome"] for item in document["items"]}


@pytest.fixture
def requirements(tmp_path: Path) -> Path:
    """A requirements file, with a nested one."""
    (tmp_path / "more.txt").write_text("tool[more]  # with an extra\n")
    path = tmp_path / "requirements.txt"
    path.write_text("-r more.txt\napp>=1\n")
    return path


@pytest.mark.clients
def test_warm__then_every_target_installs_without_upstream(
    upstream: ThreadedFakeUpstream,
    make_daemon: MakeDaemon,
    make_client: MakeClient,
    requirements: Path,
    tmp_path: Path,
) -> None:
    """With the upstream gone pip and uv have all of it, for each Python and platform."""
    publish(upstream)
    daemon = make_daemon(upstream.url, PYPICACHED_CACHE__PAGE_TTL="0").start()
    document = warm(daemon, "-r", str(requirements), *TARGETS)
    assert set(outcomes(document).values()) == {"fetched"}
    assert document["fetched_bytes"] == sum(item["size_bytes"] for item in document["items"])
    assert "unwanted-1.0-py3-none-any.whl" not in outcomes(document)
    (old,) = [item for item in document["items"] if item["project"] == "old"]
    assert old["targets"] == ["3.11 linux-x86_64", "3.11 linux-aarch64"]
    upstream.down()
    again = warm(daemon, "-r", str(requirements), *TARGETS, "--check")
    assert set(outcomes(again).values()) == {"cached"}
    client = make_client(daemon)
    for python in ("3.11", "3.13"):
        for name, platform in PLATFORMS.items():
            where = tmp_path / f"{python}-{name}"
            done = client.pip(
                "download",
                "--only-binary=:all:",
                *("--python-version", python, "--platform", platform),
                *("--dest", str(where), "-r", str(requirements)),
            )
            assert done.returncode == 0, done.stderr
            names = {path.name for path in where.iterdir()}
            assert f"fast-3.0-cp{python.replace('.', '')}" in "".join(names)
    target = tmp_path / "target"
    done = client.uv(
        "pip install",
        *("--target", str(target), "--python-version", "3.13"),
        *("--python-platform", "x86_64-manylinux_2_17", "-r", str(requirements)),
    )
    assert done.returncode == 0, done.stderr
    assert installed(target)["fast"] == "3.0"


def test_warm__dry_run_fetches_no_file(
    upstream: ThreadedFakeUpstream, daemon: DaemonProcess, requirements: Path
) -> None:
    """It says what would be fetched; twice, because nothing was."""
    publish(upstream)
    upstream.add("plain", make_sdist("plain", "1.0"))
    for _ in range(2):
        document = warm(daemon, "-r", str(requirements), "plain", "--dry-run", *TARGETS)
        assert set(outcomes(document).values()) == {"would-fetch"}
    assert upstream.count("*.whl") == upstream.count("*.tar.gz") == 0


def test_warm__check_asks_nobody(
    upstream: ThreadedFakeUpstream, daemon: DaemonProcess, requirements: Path
) -> None:
    """With nothing cached it fails and upstream hears nothing of it."""
    publish(upstream)
    document = warm(daemon, "-r", str(requirements), "--check", *TARGETS, code=1)
    assert set(outcomes(document).values()) == {"failed"}
    assert upstream.requests == []


def test_warm__what_fails_leaves_the_rest_done(
    upstream: ThreadedFakeUpstream, make_daemon: MakeDaemon
) -> None:
    """A missing project, a refused version and a failing upstream are listed; the rest is here."""
    publish(upstream)
    fresh = make_wheel("fresh", "2.0", upload_time=datetime.now(UTC).isoformat())
    upstream.add("fresh", fresh)
    upstream.add("broken", make_wheel("broken", "1.0", size_bytes=150_000))
    upstream.add("gone", make_wheel("gone", "1.0"))
    upstream.fault("*broken*.whl", "wrong_bytes")
    upstream.fault("/simple/gone/", "status", code=503)
    daemon = make_daemon(upstream.url, PYPICACHED_POLICY__MIN_AGE="7d").start()
    asked = ("app", "missing", "fresh", "broken", "gone")
    document = warm(daemon, *asked, *TARGETS, code=1)
    found = outcomes(document)
    assert found["app-1.0-py3-none-any.whl"] == "fetched"
    assert found["missing"] == "failed"
    assert found["fresh"] == "refused"
    assert found["gone"] == "failed"
    assert found["broken-1.0-py3-none-any.whl"] == "failed"
    reasons = {item["project"]: item["reason"] for item in document["items"]}
    assert "min_age" in reasons["fresh"]
    assert "503" in reasons["gone"]


def test_warm__conflict_in_words(upstream: ThreadedFakeUpstream, daemon: DaemonProcess) -> None:
    """Who requires what is said, as pip says it."""
    upstream.add("one", make_wheel("one", "1.0", requires=["lib<2"]))
    upstream.add("two", make_wheel("two", "1.0", requires=["lib>=2"]))
    upstream.add("lib", make_wheel("lib", "1.0"), make_wheel("lib", "2.0"))
    document = warm(daemon, "one", "two", code=1)
    reason = "\n".join(item["reason"] for item in document["items"])
    assert "lib<2" in reason
    assert "lib>=2" in reason


def test_warm__locks(upstream: ThreadedFakeUpstream, daemon: DaemonProcess, tmp_path: Path) -> None:
    """A lock is taken as it stands: exactly its files, and one with another digest is not."""
    publish(upstream)
    right, wrong = make_wheel("lib", "1.0", size_bytes=150_000), make_wheel("old", "1.0")
    lock = tmp_path / "pylock.toml"
    lock.write_text(_pylock(("lib", "1.0", right, right.sha256), ("old", "1.0", wrong, "0" * 64)))
    document = warm(daemon, "--lock", str(lock), *TARGETS, code=1)
    found = outcomes(document)
    assert found["lib-1.0-py3-none-any.whl"] == "fetched"
    assert [o for name, o in found.items() if name.startswith("old")] == ["failed"]
    assert len(found) == 2


def _pylock(*packages: tuple[str, str, DistFile, str]) -> str:
    lines = ['lock-version = "1.0"', 'created-by = "test"']
    for name, version, file, sha256 in packages:
        lines += ["[[packages]]", f'name = "{name}"', f'version = "{version}"']
        url = f"https://files.example/{file.filename}"
        lines += [
            f'wheels = [{{ name = "{file.filename}", url = "{url}", '
            f'hashes = {{ sha256 = "{sha256}" }} }}]'
        ]
    return "\n".join(lines) + "\n"


def test_warm__left_out(
    upstream: ThreadedFakeUpstream, daemon: DaemonProcess, tmp_path: Path
) -> None:
    """What is on no index is named, the rest is done, and it counts as not all there."""
    upstream.add("lib", make_wheel("lib", "1.0"))
    path = tmp_path / "requirements.txt"
    path.write_text("lib\n-e .\n--index-url https://index.example/simple/\n")
    document = warm(daemon, "-r", str(path), code=1)
    assert outcomes(document) == {"lib-1.0-py3-none-any.whl": "fetched"}
    assert [sentence for sentence in document["left_out"] if f"{path}:2" in sentence]
    assert [sentence for sentence in document["notes"] if f"{path}:3" in sentence]


def test_warm__larger_than_the_budget(
    upstream: ThreadedFakeUpstream, make_daemon: MakeDaemon
) -> None:
    """What is told as fetched is here at the end; what does not fit beside it has failed."""
    names = [f"p{number}" for number in range(12)]
    for name in names:
        upstream.add(name, make_wheel(name, "1.0", size_bytes=300_000))
    daemon = make_daemon(upstream.url, PYPICACHED_CACHE__MAX_SIZE="2MB").start()
    found = outcomes(warm(daemon, *names, "--pin", code=1))
    here = {file for file, outcome in found.items() if outcome == "fetched"}
    assert 3 <= len(here) < 12
    again = outcomes(warm(daemon, *names, "--check", code=1))
    assert {file for file, outcome in again.items() if outcome == "cached"} == here
    assert len(daemon.ask("pin")) == len(here)


def test_warm__a_host_that_is_left_alone_for_a_while(
    upstream: ThreadedFakeUpstream, daemon: DaemonProcess
) -> None:
    """What an upstream does not give now is asked for again, behind all else."""
    names = [f"p{number}" for number in range(6)]
    for name in names:
        upstream.add(name, make_wheel(name, "1.0", size_bytes=100_000))
    upstream.fault("*.whl", "status", times=12, code=503)
    assert set(outcomes(warm(daemon, *names)).values()) == {"fetched"}


def test_warm__needs_that_nobody_knows(
    upstream: ThreadedFakeUpstream, daemon: DaemonProcess
) -> None:
    """An sdist whose dependencies only a build tells is brought, and not called all there is."""
    upstream.add("plain", make_sdist("plain", "1.0", requires=["lib"]))
    for arguments in ((), ("--check",)):
        document = warm(daemon, "plain", *arguments, code=1)
        assert set(outcomes(document).values()) == {"cached"}
        assert "dependencies unknown" in "".join(document["left_out"])


def test_warm__large_lock(
    upstream: ThreadedFakeUpstream, daemon: DaemonProcess, tmp_path: Path
) -> None:
    """A lock of some megabytes is no more than a lock."""
    upstream.add("lib", make_wheel("lib", "1.0"))
    path = tmp_path / "requirements.txt"
    hashes = " ".join(f"--hash=sha256:{number:064x}" for number in range(20))
    lines = [f"gone{number}==1.0 {hashes}" for number in range(1000)]
    path.write_text("\n".join(["lib", *lines]))
    assert path.stat().st_size > 1_500_000
    document = warm(daemon, "-r", str(path), "--no-deps", code=1)
    assert outcomes(document)["lib-1.0-py3-none-any.whl"] == "fetched"


def test_warm__bad_input(
    upstream: ThreadedFakeUpstream, daemon: DaemonProcess, tmp_path: Path
) -> None:
    """File, line and reason, all of them; exit 2; nothing is asked."""
    path = tmp_path / "requirements.txt"
    path.write_text("app\nlib >>= 2\n-r missing.txt\n")
    done = daemon.command("warm", "-r", str(path))
    assert done.returncode == 2
    assert f"{path}:2: " in done.stderr
    assert "missing.txt" in done.stderr
    assert upstream.requests == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "warm what?"),
        (("app", "--python", "2.7"), "2.7"),
        (("app", "--platform", "linux-x86-64"), "linux-x86_64"),
        (("app", "--check", "--dry-run"), "exclude"),
        (("app", "--lock", "nothing.lock"), "nothing.lock"),
    ],
)
def test_warm__wrong_usage(daemon: DaemonProcess, arguments: tuple[str, ...], words: str) -> None:
    """One sentence, and exit 2."""
    done = daemon.command("warm", *arguments)
    assert (done.returncode, words in done.stderr) == (2, True), done.stderr
    assert "Traceback" not in done.stderr


def test_warm__pin_and_sdists(upstream: ThreadedFakeUpstream, daemon: DaemonProcess) -> None:
    """`--pin` holds the versions that it brought; an sdist comes where there is no wheel."""
    upstream.add("plain", make_sdist("plain", "1.0"))
    upstream.add("lib", make_wheel("lib", "1.0"))
    document = warm(daemon, "lib", "plain", "--pin", "--no-deps")
    assert outcomes(document)["lib-1.0-py3-none-any.whl"] == "fetched"
    # It was brought to see what building it takes.
    assert outcomes(document)["plain-1.0.tar.gz"] == "cached"
    assert {row["requirement"] for row in daemon.ask("pin")} >= {"lib==1.0", "plain==1.0"}


def test_warm__top(upstream: ThreadedFakeUpstream, daemon: DaemonProcess) -> None:
    """What this host used most is brought up to date, without being named."""
    upstream.add("lib", make_wheel("lib", "1.0"))
    for path in daemon.file_paths("lib").values():
        assert daemon.get(path)[0] == 200
    upstream.add("lib", make_wheel("lib", "2.0"))
    daemon.ask("invalidate", "lib")
    assert outcomes(warm(daemon, "--top", "5"))["lib-2.0-py3-none-any.whl"] == "fetched"


def test_warm__interrupted(
    upstream: ThreadedFakeUpstream, daemon: DaemonProcess, tmp_path: Path
) -> None:
    """Ctrl-C ends the job, and not the daemon; a detached one goes on."""
    upstream.add("lib", make_wheel("lib", "1.0", size_bytes=150_000))
    gate = upstream.hold("/simple/lib/")
    running = daemon.begin("warm", "lib")
    gate.wait_reached()
    running.send_signal(signal.SIGINT)
    _, told = running.communicate(timeout=20)
    assert running.returncode == 130, told
    done = daemon.command("warm", "lib", "--detach")
    assert (done.returncode, "started" in done.stdout) == (0, True), done.stderr
    gate.open()
    until = time.monotonic() + 20
    while not daemon.blobs_of(len(make_wheel("lib", "1.0", size_bytes=150_000).body)):
        assert time.monotonic() < until, daemon.log
