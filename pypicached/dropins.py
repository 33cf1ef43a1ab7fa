"""Drop-ins for our systemd units: what an operator has to say there instead of in our settings.

Two things are the units' to decide: the addresses of sockets that systemd holds, and where the
sandboxed service may write. Makes text and compares; changes nothing.
"""

from __future__ import annotations

import ipaddress
import shlex
import socket
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

SERVICE_UNIT = "pypicached.service"
PUBLIC_UNIT = "pypicached.socket"
CONTROL_UNIT = "pypicached-control.socket"
# What the service may write without a drop-in: its CacheDirectory= and StateDirectory=.
WRITABLE = (Path("/var/cache/pypicached"), Path("/var/lib/pypicached"))
USER = "pypicached"
# Hidden from the service by ProtectHome=, which no ReadWritePaths= opens (systemd.exec(5)).
_HOMES = (Path("/home"), Path("/root"), Path("/run/user"))

# TCP as (host, port), or the path of a Unix socket.
Where = tuple[str, int] | Path


class DropIn(msgspec.Struct, frozen=True):
    """What one drop-in file says, and the commands that go before and after it."""

    unit: str
    name: str
    lines: tuple[str, ...]
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    @property
    def command_line(self) -> str:
        """All of it as one line for a root shell."""
        directory = f"/etc/systemd/system/{self.unit}.d"
        text = " ".join(shlex.quote(line) for line in self.lines)
        write = f"printf '%s\\n' {text} >{directory}/{self.name}.conf"
        return " && ".join((*self.before, f"mkdir -p {directory}", write, *self.after))


class Hint(msgspec.Struct, frozen=True):
    """A setting that needs a drop-in to have its effect; `message` lacks its full stop.

    Without it the service uses something else instead. Where it does not start at all, `blocks` is
    the directory that keeps it from that.
    """

    key: str
    message: str
    drop_in: DropIn
    blocks: Path | None = None

    @property
    def paragraph(self) -> str:
        """The sentence, ended by what to run."""
        return f"{self.message}. To change that, as root: {self.drop_in.command_line}"


def compare_public(listen: Iterable[Where], streams: Sequence[str]) -> Hint | None:
    """Return a hint where `[server] listen` is not what systemd's socket listens on, or None."""
    # A port that is left to the kernel can be asked of no unit.
    wanted = [where for where in listen if isinstance(where, Path) or where[1]]
    return _compare("server.listen", PUBLIC_UNIT, wanted, streams)


def compare_control(path: Path, streams: Sequence[str]) -> Hint | None:
    """Return a hint where `[server] control_socket` is not systemd's socket, or None."""
    return _compare("server.control_socket", CONTROL_UNIT, [path], streams)


def _compare(key: str, unit: str, wanted: Sequence[Where], streams: Sequence[str]) -> Hint | None:
    texts = [stream_of(where) for where in wanted]
    if not texts or set(texts) == set(streams):
        return None
    section, _, name = key.partition(".")
    message = (
        f"[{section}] {name} is {', '.join(texts)}, but {unit} of systemd listens on "
        f"{', '.join(streams)}, and that counts"
    )
    # Somebody else's drop-in may have added one: it is not to vanish unsaid.
    ended = [stream for stream in streams if not _covers(texts, stream)]
    if ended and unit == PUBLIC_UNIT:
        message += (
            f" (a change ends {', '.join(ended)}: what is to stay, [server] listen must name)"
        )
    return Hint(key, message, listen_on(unit, texts))


def _covers(streams: Sequence[str], stream: str) -> bool:
    """Tell whether who listens on `streams` is reached at `stream`, too."""
    host, _, port = stream.rpartition(":")
    address = _address(host)
    if stream in streams or address is None:
        return stream in streams
    every = "[::]" if address.version == 6 else "0.0.0.0"  # noqa: S104
    return f"{every}:{port}" in streams


def explain_unwritable(key: str, directory: Path) -> Hint:
    """Return the hint for a directory that the sandbox of the service does not let it write."""
    message = f"{directory} is outside of what the sandbox of {SERVICE_UNIT} lets it write"
    return Hint(key, message, write_below(directory), directory)


def listen_on(unit: str, streams: Sequence[str]) -> DropIn:
    """Return the drop-in that makes a socket unit listen on these (`stream_of`) and no others."""
    hosts = [_address(stream.rpartition(":")[0]) for stream in streams]
    lines = ["[Socket]", "ListenStream=", *(f"ListenStream={_escape(s)}" for s in streams)]
    if any(host is not None and host.version == 6 for host in hosts):
        # Else [::] would take 0.0.0.0 as well, and the two would be in each other's way.
        lines.append("BindIPv6Only=ipv6-only")
    if any(host is not None and not (host.is_loopback or host.is_unspecified) for host in hosts):
        # The address may come after the unit: a bridge, a network that is not up yet.
        lines.append("FreeBind=yes")
    # Both, in one go: a socket unit does not start beside a service that runs already.
    restart = f"systemctl restart {unit} {SERVICE_UNIT}"
    # Last of all, or an empty ListenStream= of another one (`systemctl edit` writes override.conf)
    # would take back what this one says.
    return DropIn(unit, "zz-listen", tuple(lines), after=("systemctl daemon-reload", restart))


def write_below(directory: Path) -> DropIn:
    """Return the drop-in that lets the service write below a directory on whatever disk."""
    path = _quote(_escape(str(directory)))
    # What is made writable is mounted apart, and would be executable without the last line.
    service = ["[Service]", f"ReadWritePaths={path}", f"NoExecPaths={path}"]
    lines = ["[Unit]", f"RequiresMountsFor={path}", *service]
    if any(directory.is_relative_to(home) for home in _HOMES):
        lines.append("ProtectHome=read-only")
    # A path that does not exist would keep the service from starting.
    make = f"install -d -m 0700 -o {USER} -g {USER} {shlex.quote(str(directory))}"
    after = ("systemctl daemon-reload", f"systemctl restart {SERVICE_UNIT}")
    return DropIn(SERVICE_UNIT, "directory", tuple(lines), before=(make,), after=after)


def is_writable(directory: Path) -> bool:
    """Tell whether the service may write there as its unit comes."""
    return any(directory.is_relative_to(path) for path in WRITABLE)


def stream_of(where: Where) -> str:
    """Return a listening address as ListenStream= wants it. Looks a host's name up."""
    if isinstance(where, Path):
        return str(where)
    host, port = where
    address = _address(host) or _look_up(host)
    if address is None:
        return f"{host}:{port}"
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None


def _look_up(host: str) -> ipaddress.IPv4Address | None:
    """Return the address that binding to a name would take."""
    try:
        return ipaddress.IPv4Address(socket.gethostbyname(host))
    except OSError:
        return None


def _escape(value: str) -> str:
    """Return a value in which systemd finds no specifier (systemd.unit(5))."""
    return value.replace("%", "%%")


def _quote(path: str) -> str:
    """Return a path as one word of a list (systemd.syntax(7))."""
    if not any(c in path for c in " \t\"'\\"):
        return path
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'
