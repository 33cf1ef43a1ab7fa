"""Drop-ins for the units: what they say, and how a shell is to write them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pypicached.dropins import (
    compare_control,
    compare_public,
    is_writable,
    listen_on,
    stream_of,
    write_below,
)


@pytest.mark.parametrize(
    ("where", "stream"),
    [
        (("127.0.0.1", 3143), "127.0.0.1:3143"),
        (("0:0::1", 3143), "[::1]:3143"),
        (("localhost", 80), "127.0.0.1:80"),
        (("no-such-host.invalid", 80), "no-such-host.invalid:80"),
        (Path("/run/p.sock"), "/run/p.sock"),
    ],
)
def test_stream__spelling(where: tuple[str, int] | Path, stream: str) -> None:
    """An address is spelled as ListenStream= wants it; a name is what binding makes of it."""
    assert stream_of(where) == stream


def test_compare__order_does_not_matter() -> None:
    """The same addresses in another order need no drop-in."""
    listen = [("::1", 3143), ("127.0.0.1", 3143)]
    assert compare_public(listen, ["127.0.0.1:3143", "[::1]:3143"]) is None


def test_compare__port_of_the_kernels_choice() -> None:
    """Port 0 can be asked of no unit."""
    assert compare_public([("127.0.0.1", 0)], ["127.0.0.1:3143"]) is None


@pytest.mark.parametrize(
    ("listen", "ended"),
    [
        ([("127.0.0.1", 3143)], " (a change ends [::1]:3143, 172.17.0.1:3143: "),
        ([("0.0.0.0", 3143), ("::1", 3143)], None),
        ([("0.0.0.0", 80), Path("/x")], " (a change ends 127.0.0.1:3143, [::1]:3143, 172.17.0.1:"),
        ([("::", 3143), ("127.0.0.1", 3143), ("172.17.0.1", 3143), ("::2", 1)], None),
    ],
)
def test_compare__addresses_that_end(
    listen: list[tuple[str, int] | Path], ended: str | None
) -> None:
    """An address that the settings do not name does not go unsaid, whoever added it."""
    hint = compare_public(listen, ["127.0.0.1:3143", "[::1]:3143", "172.17.0.1:3143"])
    assert hint is not None
    if ended is None:
        assert "ends" not in hint.message
    else:
        assert ended in hint.message


def test_listen_on__last_of_all() -> None:
    """The drop-in comes after the one of `systemctl edit`, whose empty line would undo it."""
    command = listen_on("pypicached.socket", ["127.0.0.1:80"]).command_line
    (name,) = [word for word in command.split() if word.startswith(">")]
    assert name.rpartition("/")[2] > "override.conf"


def test_compare__control() -> None:
    """Another path of the control socket is a drop-in of its own unit."""
    hint = compare_control(Path("/run/other.sock"), ["/run/pypicached/control.sock"])
    assert hint is not None
    assert hint.key == "server.control_socket"
    assert hint.drop_in.unit == "pypicached-control.socket"
    assert hint.drop_in.lines == ("[Socket]", "ListenStream=", "ListenStream=/run/other.sock")


@pytest.mark.parametrize("stream", ["127.0.0.1:80", "0.0.0.0:80", "[::]:80", "[::1]:80"])
def test_listen_on__addresses_that_are_there(stream: str) -> None:
    """Loopback and all addresses are always there: only others may come after the unit."""
    assert "FreeBind=yes" not in listen_on("pypicached.socket", [stream]).lines
    assert "FreeBind=yes" in listen_on("pypicached.socket", [stream, "10.1.2.3:80"]).lines


@pytest.mark.parametrize(
    ("directory", "expected"),
    [
        ("/var/cache/pypicached", True),
        ("/var/lib/pypicached/cache", True),
        ("/var/cache/pypicached2", False),
        ("/srv", False),
    ],
)
def test_is_writable(directory: str, expected: bool) -> None:
    """The service may write its cache and state directories, and what is below them."""
    assert is_writable(Path(directory)) is expected


def test_write_below__home() -> None:
    """Homes are hidden from the service; read-only is as much as has to be shown."""
    assert "ProtectHome=read-only" in write_below(Path("/home/ci/cache")).lines
    assert "ProtectHome=read-only" not in write_below(Path("/homes/cache")).lines


def test_command_line__a_shell_writes_the_file(tmp_path: Path) -> None:
    """Run as it is printed, with another /etc, the line writes exactly the drop-in."""
    drop_in = write_below(Path("/srv/it's 100 %"))
    assert drop_in.lines[1] == 'RequiresMountsFor="/srv/it\'s 100 %%"'
    # Without what needs root and systemd.
    middle = " && ".join(drop_in.command_line.split(" && ")[1:-2])
    line = middle.replace("/etc/systemd/", f"{tmp_path}/etc/systemd/")
    subprocess.run(["/bin/sh", "-c", line], check=True)
    written = tmp_path / "etc/systemd/system/pypicached.service.d/directory.conf"
    assert written.read_text() == "\n".join(drop_in.lines) + "\n"
