"""A cluster of Ceph for tests: one monitor, one OSD on a sparse file, and a RADOS gateway.

Everything is below one directory and on loopback; no manager, no systemd, no authentication among
its parts. Its processes end with the tests, whatever becomes of those.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

_PROGRAMS = ("ceph", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
_READY_SECONDS = 60.0
_USER = "tester"

# Without the three lines on Paxos and ticks, each new pool waits for two seconds. `crc`: the
# gateway's own default wants keys, which `auth_… = none` has not. `rgw_cache`: a gateway that was
# killed would be waited for, half a minute, before its successor makes a bucket.
_CONFIGURATION = """\
[global]
fsid = {fsid}
mon_host = [v2:127.0.0.1:{mon_v2}/0,v1:127.0.0.1:{mon_v1}/0]
public_network = 127.0.0.0/8
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
run_dir = {root}/run
admin_socket = {root}/run/$name.asok
pid_file = {root}/run/$name.pid
log_file = {root}/log/$name.log
crash_dir = {root}/log
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_pool_default_pgp_num = 8
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
mon_warn_on_pool_no_redundancy = false
ms_bind_ipv6 = false
paxos_propose_interval = 0.05
paxos_min_wait = 0.01
mon_tick_interval = 1
[mon]
mon_data = {root}/mon/$id
mon_data_avail_warn = 1
mon_data_avail_crit = 0
[osd]
osd_data = {root}/osd/$id
osd_objectstore = bluestore
bluestore_block_size = 21474836480
bluestore_block_wal_create = false
bluestore_block_db_create = false
bluestore_fsck_on_mount = false
osd_memory_target = 939524096
[client]
rgw_data = {root}/rgw
[client.rgw.a]
ms_mon_client_mode = crc
rgw_frontends = beast endpoint=127.0.0.1:{port}
rgw_cache_enabled = false
rgw_enable_usage_log = false
rgw_enable_ops_log = false
rgw_thread_pool_size = 64
"""


class CephError(Exception):
    """The cluster did not do what a test needs of it."""


def missing_programs() -> list[str]:
    """Return what of Ceph is not installed."""
    return [name for name in _PROGRAMS if shutil.which(name) is None]


class Ceph:
    """One cluster; `running` makes it. Blocking."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._port = _free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @classmethod
    @contextlib.contextmanager
    def running(cls, directory: os.PathLike[str]) -> Iterator[Ceph]:
        """Run a new cluster in a directory that is removed with it."""
        root = Path(directory) / "ceph"
        cluster = cls(root)
        try:
            cluster._start()
            yield cluster
        finally:
            cluster._stop()
            shutil.rmtree(root, ignore_errors=True)

    def create_user(self, access_key: str, secret_key: str) -> None:
        """Create the user that owns all buckets."""
        self.admin(
            *("user", "create", f"--uid={_USER}", f"--display-name={_USER}"),
            *(f"--access-key={access_key}", f"--secret-key={secret_key}"),
        )

    def admin(self, *words: str) -> None:
        """Run `radosgw-admin` with these words."""
        self._run("radosgw-admin", *words)

    @contextlib.contextmanager
    def changed_user(self, change: tuple[str, ...], back: tuple[str, ...]) -> Iterator[None]:
        """Do something to the user, and undo it; the words are those after `--uid`."""
        self.admin(*change, f"--uid={_USER}")
        try:
            yield
        finally:
            self.admin(*back, f"--uid={_USER}")

    # ── faults of the gateway ────────────────────────────────────────────────────────────────

    def kill_gateway(self) -> None:
        """Kill the gateway at once, in the midst of whatever it does."""
        gateway = self._processes.pop("radosgw")
        gateway.kill()
        gateway.wait()

    def start_gateway(self) -> None:
        """Start the gateway and wait until it answers."""
        self._spawn("radosgw", "-n", "client.rgw.a", "-f")
        self._until(self._answers, "radosgw")

    @contextlib.contextmanager
    def killed_gateway(self) -> Iterator[None]:
        """Have no gateway, and start it anew in the end."""
        self.kill_gateway()
        try:
            yield
        finally:
            self.start_gateway()

    @contextlib.contextmanager
    def stalled_gateway(self) -> Iterator[None]:
        """Let the gateway stand still: it accepts connections and answers nothing."""
        gateway = self._processes["radosgw"]
        gateway.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            gateway.send_signal(signal.SIGCONT)

    @contextlib.contextmanager
    def killed_disk(self) -> Iterator[None]:
        """Have no daemon of the disk: the gateway accepts requests, and waits for it.

        One that was only stopped for so long would not be taken back by the others.
        """
        osd = self._processes.pop("ceph-osd")
        osd.kill()
        osd.wait()
        try:
            yield
        finally:
            self._spawn("ceph-osd", "-i", "0", "-f")
            self._until(self._osd_is_up, "ceph-osd")

    # ── its life ─────────────────────────────────────────────────────────────────────────────

    def _start(self) -> None:
        for name in ("mon", "osd", "rgw", "log", "run"):
            (self._root / name).mkdir(parents=True)
        fsid = str(uuid.uuid4())
        v2, v1 = _free_port(), _free_port()
        self._configuration.write_text(
            _CONFIGURATION.format(fsid=fsid, mon_v2=v2, mon_v1=v1, root=self._root, port=self._port)
        )
        addresses = f"[v2:127.0.0.1:{v2},v1:127.0.0.1:{v1}]"
        monmap = self._root / "monmap"
        self._run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", addresses, str(monmap))
        self._run("ceph-mon", "-i", "a", "--mkfs", "--monmap", str(monmap))
        self._spawn("ceph-mon", "-i", "a", "-f")
        osd = str(uuid.uuid4())
        number = self._run("ceph", "--connect-timeout", "20", "osd", "new", osd).strip()
        (self._root / "osd" / number).mkdir()
        self._run("ceph-osd", "-i", number, "--mkfs", "--osd-uuid", osd)
        self._spawn("ceph-osd", "-i", number, "-f")
        self._until(self._osd_is_up, "ceph-osd")
        self.start_gateway()

    def _stop(self) -> None:
        # The gateway first: the others wait for whoever still talks to them.
        for name in ("radosgw", "ceph-osd", "ceph-mon"):
            process = self._processes.pop(name, None)
            if process is None:
                continue
            process.send_signal(signal.SIGCONT)
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    @property
    def _configuration(self) -> Path:
        return self._root / "ceph.conf"

    @property
    def _environment(self) -> dict[str, str]:
        return {**os.environ, "CEPH_CONF": str(self._configuration)}

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            command,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=_READY_SECONDS,
        )
        if done.returncode:
            raise CephError(f"{' '.join(command)}: {done.stderr or done.stdout}")
        return done.stdout

    def _spawn(self, *command: str) -> None:
        log = self._root / "log" / f"{command[0]}.stderr"
        with log.open("ab") as stderr:
            # In a session of its own: Ctrl-C is for the tests, which end it then.
            self._processes[command[0]] = subprocess.Popen(
                command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
                start_new_session=True,
            )

    def _until(self, is_ready: Callable[[], bool], name: str) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while not is_ready():
            if self._processes[name].poll() is not None or time.monotonic() > deadline:
                told = (self._root / "log" / f"{name}.stderr").read_text()[-2000:]
                raise CephError(f"{name} is not ready: {told}")
            time.sleep(0.05)

    def _osd_is_up(self) -> bool:
        return bool(json.loads(self._run("ceph", "osd", "stat", "-f", "json"))["num_up_osds"])

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 5):
            return True
        return False


def _free_port() -> int:
    """Return a port that nobody listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
