"""`pypicached reload` and SIGHUP with the real daemon, command, log and systemd's protocol."""

from __future__ import annotations

import json
import os
import select
import signal
import time
from pathlib import Path

import pytest

from tests.e2e.conftest import MakeDaemon
from tests.e2e.disks import hanging_disk
from tests.e2e.process import DaemonProcess
from tests.e2e.test_stopping import CUT_OFF, slow_transfer
from tests.fake.threaded import ThreadedFakeUpstream
from tests.fake.wheels import make_wheel

BAD = '[cache]\nmax_sise = "1GiB"\npage_ttl = "soon"\n'


@pytest.fixture
def config(directory: Path) -> Path:
    """Return a configuration file without a word."""
    path = directory / "pypicached.toml"
    path.write_text("")
    return path


@pytest.fixture
def daemon(upstream: ThreadedFakeUpstream, make_daemon: MakeDaemon, config: Path) -> DaemonProcess:
    """Return a running daemon with that file."""
    upstream.add("alpha", make_wheel("alpha", "1.0"))
    return make_daemon(upstream.url).start("--config", str(config))


def test_reload__says_what_changed(daemon: DaemonProcess, config: Path) -> None:
    """Keys that changed, a line each, with 0; nothing, if nothing did; what waits, on stderr."""
    (path,) = daemon.file_paths("alpha").values()
    assert daemon.get(path)[0] == 200
    done = daemon.command("reload")
    assert (done.returncode, done.stdout, done.stderr) == (0, "nothing changed\n", "")
    config.write_text('[policy]\ndeny = ["alpha"]\n[server]\nlog_level = "debug"\n')
    assert daemon.ask("status")["problems"] == [
        f"the configuration file {config} is newer than what is loaded: `pypicached reload`"
    ]
    done = daemon.command("reload")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "server.log_level changed\npolicy.deny changed\n"
    assert (daemon.get("/simple/alpha/")[0], daemon.get(path)[0]) == (403, 403)
    assert daemon.ask("status")["problems"] == []
    assert "uid 0: reload" in daemon.log
    assert "configuration reloaded: server.log_level, policy.deny" in daemon.log

    config.write_text('[cache]\nledger = "/nowhere/l.sqlite"\n')
    done = daemon.command("reload")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "policy.deny changed")
    assert done.stderr == "pypicached: needs a restart: cache.ledger\n"
    document = daemon.ask("reload")
    assert (document["changed"], document["needs_restart"]) == ([], ["cache.ledger"])
    assert daemon.command("status", "--check").stdout == "needs a restart: cache.ledger\n"


def test_reload__bad_file(daemon: DaemonProcess, config: Path) -> None:
    """A bad file is refused with 2 and the words of `config check`; the old settings stay."""
    config.write_text(BAD)
    checked = daemon.command("config", "check", "--config", str(config))
    done = daemon.command("reload")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        checked.stderr
        + "pypicached: the configuration was refused, and the settings of before stay in force\n"
    )
    assert checked.stderr.count("\n") == 2
    document = json.loads(daemon.command("reload", "--json").stdout)
    assert (
        document["problems"]
        == json.loads(daemon.command("config", "check", "--config", str(config), "--json").stdout)[
            "problems"
        ]
    )
    assert daemon.command("reload", "--json").returncode == 2
    assert daemon.get("/simple/alpha/")[0] == 200
    (problem,) = daemon.ask("status")["problems"]
    assert "the configuration was refused at" in problem


def test_reload__files_that_are_none(daemon: DaemonProcess, config: Path, tmp_path: Path) -> None:
    """What indexes name and cannot be used is refused at once, all of it, as `config check` does.

    None of it holds up anything.
    """
    fifo, huge, text = (tmp_path / name for name in ("fifo", "huge", "text"))
    os.mkfifo(fifo)
    with huge.open("wb") as file:
        file.truncate(1 << 30)
    text.write_text("two\nlines\n")
    bad = {
        "ca_file": [fifo, huge, text, Path("/dev/null"), Path("/dev/zero")],
        "client_cert": [fifo, text, Path("/dev/null")],
        "token_file": [fifo, huge, text, Path("/dev/zero")],
    }
    pairs = [(key, path) for key, paths in bad.items() for path in paths]
    config.write_text(
        "".join(
            f'[[index]]\nname = "i{n}"\nurl = "https://127.0.0.1:9/simple/"\n{key} = "{path}"\n'
            for n, (key, path) in enumerate(pairs)
        )
    )
    # The index of the environment would take their place.
    del daemon.environment["PYPICACHED_INDEX_URL"]
    daemon.stop()
    checked = daemon.command("config", "check", "--config", str(config))
    keys = [line.partition(":")[0] for line in checked.stderr.splitlines()]
    assert keys == [f"index.i{n}.{key}" for n, (key, _) in enumerate(pairs)]
    assert all(" cannot be used: " in line for line in checked.stderr.splitlines())
    good = config.read_text()
    config.write_text("")
    daemon.start("--config", str(config))
    config.write_text(good)
    done = daemon.command("reload")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(checked.stderr)
    assert daemon.stop() == 0


def test_reload__a_disk_that_hangs(
    upstream: ThreadedFakeUpstream, make_daemon: MakeDaemon, config: Path
) -> None:
    """A mount whose server is gone holds up neither requests, `status`, nor the end.

    `status` says so once it was to be read; the reload is refused within half a minute.
    """
    upstream.add("alpha", make_wheel("alpha", "1.0"))
    place = config.parent / "hanging"
    daemon = make_daemon(upstream.url)
    with hanging_disk(place) as within:
        daemon.start("--config", str(config), within=within)
        config.rename(config.with_suffix(".old"))
        config.symlink_to(place / "pypicached.toml")
        reload = daemon.begin("reload")
        for _ in range(6):
            (problem,) = daemon.ask("status")["problems"]
            assert problem == f"{config} cannot be looked at: its disk does not answer"
        (path,) = daemon.file_paths("alpha").values()
        assert daemon.get(path)[0] == 200
        _, said = reload.communicate(timeout=40)
        assert reload.returncode == 2
        assert f"{config}: cannot be read within 20 s: a disk does not answer" in said
        daemon.send(signal.SIGHUP)
        daemon.wait_notice("READY=1")
        assert daemon.stop() == 0
    assert "Traceback" not in daemon.log


def test_reload__no_daemon(make_daemon: MakeDaemon) -> None:
    """Without a daemon it ends with 3."""
    done = make_daemon().command("reload")
    assert (done.returncode, "no daemon answers" in done.stderr) == (3, True)


def test_sighup__as_the_command(daemon: DaemonProcess, config: Path) -> None:
    """SIGHUP reloads too, tells the log, and the service manager when it begins and has ended."""
    config.write_text('[policy]\ndeny = ["alpha"]\n')
    before = time.monotonic_ns() // 1000
    daemon.send(signal.SIGHUP)
    notice = daemon.wait_notice("RELOADING=1")
    began = int(notice.partition("MONOTONIC_USEC=")[2])
    assert before <= began <= time.monotonic_ns() // 1000
    assert daemon.wait_notice("READY=1") == "READY=1"
    assert daemon.get("/simple/alpha/")[0] == 403
    assert "configuration reloaded: policy.deny" in daemon.log
    config.write_text(BAD)
    daemon.send(signal.SIGHUP)
    daemon.wait_notice("RELOADING=1")
    daemon.wait_notice("READY=1")
    assert daemon.log.count("ERROR configuration refused: cache.") == 2
    assert daemon.get("/simple/alpha/")[0] == 403
    assert daemon.stop() == 0


def test_sighup__at_any_time(daemon: DaemonProcess) -> None:
    """Any number of them harms nothing, also while it stops."""
    for n in range(200):
        daemon.send(signal.SIGHUP)
        if n % 10 == 0:
            assert daemon.get("/simple/alpha/")[0] == 200
    for _ in range(20):
        daemon.send(signal.SIGHUP)
    daemon.send(signal.SIGTERM)
    for _ in range(20):
        daemon.send(signal.SIGHUP)
    assert daemon.wait() == 0
    assert not any(word in daemon.log for word in ("Traceback", "FATAL"))


def test_sighup__while_it_starts(make_daemon: MakeDaemon, config: Path) -> None:
    """A signal that comes before it serves ends nothing, however early it is after the command."""
    for _ in range(3):
        daemon = make_daemon("http://127.0.0.1:9/simple/")
        daemon.launch("--config", str(config))
        # Nobody can ask a process to be told before Python itself has come so far.
        while not ignores_hangup(daemon.pid):
            time.sleep(0.001)
        with daemon._pidfd() as ended:
            while not select.select([daemon._notices], [], [], 0)[0]:
                daemon.send(signal.SIGHUP)
                assert not select.select([ended], [], [], 0.001)[0], daemon.log
        daemon.wait_notice("READY=1")
        assert daemon.stop() == 0
        daemon.close()


def ignores_hangup(pid: int) -> bool:
    """Tell whether a process ignores SIGHUP (proc(5))."""
    status = Path(f"/proc/{pid}/status").read_text()
    ignored = int(status.partition("SigIgn:")[2].split()[0], 16)
    return bool(ignored >> (signal.SIGHUP - 1) & 1)


def test_reload__log(daemon: DaemonProcess, config: Path) -> None:
    """Form, level and access log are other ones from the next line on."""
    config.write_text('[server]\nlog_format = "json"\naccess_log = true\n')
    assert daemon.command("reload").returncode == 0
    before = len(daemon.log.splitlines())
    assert daemon.get("/simple/alpha/")[0] == 200
    lines = [json.loads(line) for line in daemon.log.splitlines()[before - 1 :]]
    assert [line["event"] for line in lines if line["logger"] == "pypicached.access"] == [
        "GET /simple/alpha/"
    ]
    config.write_text('[server]\nlog_level = "error"\naccess_log = true\n')
    assert daemon.command("reload").returncode == 0
    before = len(daemon.log.splitlines())
    assert daemon.get("/simple/alpha/")[0] == 200
    assert len(daemon.log.splitlines()) == before


def test_reload__drain(upstream: ThreadedFakeUpstream, daemon: DaemonProcess, config: Path) -> None:
    """A stop waits as long as `drain` says by then; while it waits, a reload is refused."""
    config.write_text('[server]\ndrain = "3s"\n')
    assert daemon.command("reload").stdout == "server.drain changed\n"
    with slow_transfer(upstream, daemon) as (answer, _):
        began = time.monotonic()
        daemon.send(signal.SIGTERM)
        daemon.wait_notice("STOPPING=1")
        done = daemon.command("reload")
        assert (done.returncode, done.stdout) == (1, "")
        assert "the daemon is stopping" in done.stderr
        assert daemon.wait() == 0
        assert 3 <= time.monotonic() - began < 9
        with pytest.raises(CUT_OFF):
            answer.read()
