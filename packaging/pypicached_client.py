#!/usr/bin/python3 -I
"""`pypicached-client`: makes pip and uv of a whole host use a pypicached, and undoes it again.

One file for Debian's python3 and nothing else; installed as /usr/bin/pypicached-client.

It writes /etc/pip.conf and, if asked to, /etc/uv/uv.toml, and nothing else: no environment
variable, and never an extra index, which pip would ask around the cache. The last line of a file of
ours is its signature, a digest of the lines above it. A file without one is somebody else's, one
whose digest does not fit has been edited; neither is ever written or removed.
"""

from __future__ import annotations

import argparse
import configparser
import contextlib
import errno
import hashlib
import http.client
import ipaddress
import json
import os
import pwd
import re
import ssl
import stat
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import SplitResult, urlsplit

__version__ = "0.1.0"

PROGRAM = "pypicached-client"
DEFAULT_URL = "http://127.0.0.1:3143/simple/"
SOCKET = "pypicached.socket"
# Of a connection, and of its answer: a cache that is slower is none.
PATIENCE_SECONDS = 5.0
# 128 + SIGINT, 128 + SIGPIPE: what a shell says of a command that a signal ended.
INTERRUPTED = 130
PIPE_CLOSED = 141

Tool = Literal["pip", "uv"]
PATHS: Mapping[Tool, str] = {"pip": "/etc/pip.conf", "uv": "/etc/uv/uv.toml"}


class ClientError(Exception):
    """What ends a command: a sentence for people, and the exit code."""

    def __init__(self, sentence: str, exit_code: int = 1) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code


@dataclass(frozen=True)
class Host:
    """Where files are, and whose settings are looked at beside those of the host."""

    root: Path
    # Of the user who calls, also through sudo; a path below `root`.
    home: str
    environment: Mapping[str, str]
    # Who may write to /etc.
    is_root: bool

    def at(self, path: str) -> Path:
        """Return where an absolute path of the host is."""
        return self.root / path.lstrip("/")


def read_file(path: Path) -> str:
    """Return the text of a regular file, every byte of it told apart; OSError for all else."""
    if not path.is_file():
        # Of a FIFO in somebody's home we would wait for the other end.
        raise FileNotFoundError(errno.ENOENT, "is no regular file")
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        return file.read()


def clean(text: str, limit: int = 200) -> str:
    """Return foreign text as one short line of printable ASCII."""
    printable = "".join(c if " " <= c <= "~" else "?" for c in text[: limit + 1])
    return printable if len(printable) <= limit else printable[: limit - 3] + "..."


# ── the address ──────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Address:
    """Where an index is: `host` without brackets, `path` ends with "/simple/"."""

    scheme: str
    host: str
    port: int | None
    path: str

    @property
    def netloc(self) -> str:
        """Host and port as they stand in a URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The Simple API's root, with its closing slash."""
        return f"{self.scheme}://{self.netloc}{self.path}"

    @property
    def unnamed_port(self) -> str:
        """What to say where a URL leaves the port out, and so means another than ours; else ""."""
        if self.port is not None:
            return ""
        port = 80 if self.scheme == "http" else 443
        return f"port {port}, as the URL names none; pypicached's is 3143"

    @property
    def is_loopback(self) -> bool:
        """Whether it is on this very host."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def needs_trust(self) -> bool:
        """Whether pip refuses it until told to trust it: plain HTTP beyond loopback."""
        return self.scheme == "http" and not self.is_loopback


def parse_address(url: str) -> Address:
    """Return the address for a base URL or an index URL; ValueError with a reason."""
    if url.startswith(("unix:", "/")):
        raise ValueError("is a Unix socket, which neither pip nor uv can use; name a TCP address")
    text = url if "://" in url else f"http://{url}"
    if not text.isascii() or not text.isprintable() or any(c in text for c in " \"'`$\\<>"):
        raise ValueError("has characters that no URL has")
    if re.match(r"https?:(?!//)", url, re.IGNORECASE):
        raise ValueError("has no // behind its http:")
    parts, port = _split(text)
    if parts.scheme not in ("http", "https"):
        raise ValueError("is neither http nor https")
    if "@" in parts.netloc:
        raise ValueError("has credentials in it; a command line can be read by everybody")
    if not parts.hostname or parts.query or parts.fragment:
        raise ValueError("needs a host, and neither query nor fragment")
    path = parts.path.rstrip("/")
    if not path.endswith("/simple"):
        path += "/simple"
    return Address(parts.scheme, parts.hostname, port, f"{path}/")


def _split(text: str) -> tuple[SplitResult, int | None]:
    """Return a URL's parts and its port; ValueError in words for what urlsplit refuses in its."""
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ValueError("has brackets that hold no IPv6 address") from None
    if "[" not in parts.netloc and parts.netloc.count(":") > 1 and "@" not in parts.netloc:
        raise ValueError("has an IPv6 address without brackets, as in http://[::1]:3143/")
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError("has a port that is none")
    return parts, port


def redact(url: str) -> str:
    """Return somebody's URL for people to see, without the credentials in it."""
    return clean(re.sub(r"//[^/]*@", "//****@", url))


# ── asking it ────────────────────────────────────────────────────────────────────────────────


# What kept an address from answering as a pypicached, as far as it decides what is to be done.
Cause = Literal["", "refused", "silent", "stranger", "tls", "index"]


@dataclass(frozen=True)
class Reply:
    """What an address said: `server` if it is a pypicached that has the index, else a `reason`."""

    server: str
    reason: str = ""
    cause: Cause = ""


def ask(address: Address) -> Reply:
    """Ask for the index without its closing slash: a pypicached redirects, and asks no upstream.

    Neither proxies nor redirects are followed: what answers is what listens there.
    """
    connection = _connection(address)
    with contextlib.closing(connection):
        try:
            headers = {"User-Agent": f"{PROGRAM}/{__version__}", "Cache-Control": "no-cache"}
            connection.request("GET", address.path.rstrip("/"), headers=headers)
            return _judge(connection.getresponse())
        except ssl.SSLCertVerificationError as error:
            return Reply("", f"its certificate is not valid here: {error.verify_message}")
        except ssl.SSLError as error:
            return Reply("", f"what answers there has no TLS for this host ({error.reason})", "tls")
        except UnicodeError:
            return Reply("", "its host is no name that can be looked up", "silent")
        except OSError as error:
            cause: Cause = "refused" if isinstance(error, ConnectionRefusedError) else "silent"
            return Reply(
                "", f"nothing answers there ({clean(error.strerror or str(error))})", cause
            )
        except http.client.HTTPException as error:
            return Reply(
                "", f"what answers there is no web server ({type(error).__name__})", "stranger"
            )


def _connection(address: Address) -> http.client.HTTPConnection:
    if address.scheme == "http":
        return http.client.HTTPConnection(address.host, address.port, timeout=PATIENCE_SECONDS)
    return http.client.HTTPSConnection(
        address.host,
        address.port,
        timeout=PATIENCE_SECONDS,
        context=ssl.create_default_context(),
    )


def _judge(answer: http.client.HTTPResponse) -> Reply:
    servers = answer.headers.get_all("Server", [])
    name = next((server for server in servers if server.startswith("pypicached/")), "")
    # Behind a reverse proxy that puts its own Server in place of ours, this is left of us.
    if not name and "pypicached" in answer.headers.get("Cache-Status", "").split(", "):
        name = "pypicached"
    if not name:
        return Reply(
            "", f"what answers there is no pypicached (status {answer.status})", "stranger"
        )
    if answer.status == 301 and answer.headers.get("Location", "").endswith("simple/"):
        return Reply(clean(name))
    if answer.status == 403:
        return Reply("", "the pypicached there refuses this host: see its [server] allow_from")
    if answer.status == 404:
        return Reply("", "the pypicached there has no such index", "index")
    return Reply("", f"the pypicached there answers with status {answer.status}")


# ── what a file says ─────────────────────────────────────────────────────────────────────────

_HEADING = f"# Written by {PROGRAM}; `{PROGRAM} disable` removes it as long as it is unchanged.\n"
_SIGNATURE = re.compile(rf"^# {PROGRAM} sha256:[0-9a-f]{{64}}( made-directory)?", re.MULTILINE)


def render(tool: Tool, address: Address) -> str:
    """Return the file of a tool, unsigned."""
    if tool == "pip":
        remark = "# Leave out any extra-index-url: pip would ask that one too, around the cache."
        trust = f"trusted-host = {address.host}\n" if address.needs_trust else ""
        return f"{_HEADING}{remark}\n[global]\nindex-url = {address.url}\n{trust}"
    remark = "# Right for `uv pip`, `uv tool` and new locks; a new uv.lock has this address."
    return f'{_HEADING}{remark}\n[[index]]\nurl = "{address.url}"\ndefault = true\n'


def sign(text: str, *, made_directory: bool) -> str:
    """Return a text with its signature, which also says whether its directory goes with it."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    flag = " made-directory" if made_directory else ""
    return f"{text}# {PROGRAM} sha256:{digest}{flag}\n"


class _PipParser(configparser.RawConfigParser):
    def optionxform(self, optionstr: str) -> str:
        return optionstr.lower().replace("_", "-").removeprefix("--")


def read_pip_conf(text: str) -> dict[str, dict[str, str]]:
    """Return section → key → value, as pip understands them; configparser.Error."""
    parser = _PipParser()
    parser.read_string(text)
    return {name: dict(parser.items(name)) for name in parser.sections()}


def read_uv_toml(text: str) -> dict[str, Any]:
    """Return what a uv.toml says; tomllib.TOMLDecodeError."""
    return tomllib.loads(text)


def find_index(tool: Tool, text: str) -> str:
    """Return the index that a file names in place of PyPI; "" if it names none."""
    try:
        if tool == "pip":
            return read_pip_conf(text).get("global", {}).get("index-url", "")
        indexes = read_uv_toml(text).get("index", [])
        return next((str(index["url"]) for index in indexes if index.get("default")), "")
    except (configparser.Error, tomllib.TOMLDecodeError, AttributeError, KeyError, TypeError):
        # It has not the form that it has to have; its tool will say so.
        return ""


def says(tool: Tool, text: str, address: Address) -> bool:
    """Whether a file leads its tool to an address, whoever wrote it."""
    if find_index(tool, text).rstrip("/") != address.url.rstrip("/"):
        return False
    if tool == "uv" or not address.needs_trust:
        return True
    return address.host in read_pip_conf(text)["global"].get("trusted-host", "").split()


# ── the files ────────────────────────────────────────────────────────────────────────────────

State = Literal["absent", "ours", "changed", "foreign"]


@dataclass(frozen=True)
class Target:
    """A file that is ours, or may become so, as it was found."""

    tool: Tool
    state: State
    text: str = ""
    # Of one that is changed or foreign: the end of a sentence about it.
    why: str = ""
    made_directory: bool = False

    @property
    def path(self) -> str:
        """Where it is."""
        return PATHS[self.tool]

    @property
    def url(self) -> str:
        """The index that it names; "" if none."""
        return find_index(self.tool, self.text)

    @property
    def is_signed(self) -> bool:
        """Whether we wrote it, edited since or not."""
        return self.state in ("ours", "changed")


def examine(host: Host, tool: Tool) -> Target:
    """Look at the file of a tool; what a link leads to is never ours."""
    path = host.at(PATHS[tool])
    try:
        is_link = stat.S_ISLNK(path.lstat().st_mode)
        is_file = path.is_file()
        text = read_file(path) if is_file else ""
    except (FileNotFoundError, NotADirectoryError):
        return Target(tool, "absent")
    except OSError as error:
        return Target(tool, "foreign", why=f"cannot be read ({error.strerror})")
    if is_link or not is_file:
        why = "is a symbolic link" if is_link else "is no regular file"
        return Target(tool, "foreign", text, why)
    found = _SIGNATURE.search(text)
    if found is None:
        return Target(tool, "foreign", text, f"was not written by {PROGRAM}")
    made_directory = found[1] is not None
    if text != sign(text[: found.start()], made_directory=made_directory):
        return Target(tool, "changed", text, f"was edited after {PROGRAM} wrote it")
    return Target(tool, "ours", text, made_directory=made_directory)


def write(host: Host, target: Target, text: str) -> None:
    """Put a text into a target that is absent or ours; after a crash it is there whole, or not."""
    path = host.at(target.path)
    made_directory = False
    try:
        with contextlib.suppress(FileExistsError):
            path.parent.mkdir()
            made_directory = True
            path.parent.chmod(0o755)
            _sync(path.parent.parent)
        _replace(path, sign(text, made_directory=made_directory or target.made_directory))
    except OSError as error:
        if made_directory:
            with contextlib.suppress(OSError):
                path.parent.rmdir()
        raise ClientError(f"cannot write {target.path}: {error.strerror}") from None


def _replace(path: Path, text: str) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            # For everybody, whatever the umask says.
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(host: Host, target: Target) -> None:
    """Remove a target that is ours, and its directory if we made that and nothing else is in it."""
    path = host.at(target.path)
    try:
        path.unlink()
        _sync(path.parent)
    except OSError as error:
        raise ClientError(f"cannot remove {target.path}: {error.strerror}") from None
    if target.made_directory:
        with contextlib.suppress(OSError):
            path.parent.rmdir()


def require_root(host: Host, command: str) -> None:
    """Refuse users who may not write to /etc, before anything is tried."""
    if not host.is_root:
        raise ClientError(f"only root may do this: sudo {PROGRAM} {command}", exit_code=4)


# ── what else pip and uv go by ───────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Setting:
    """A value, and the file or variable that has it."""

    value: str
    source: str


def find_pip_settings(host: Host) -> tuple[dict[str, Setting], list[str]]:
    """Return what counts for a `pip install` of the caller, and the files that pip cannot parse.

    Later files win over earlier ones, [install] wins over [global] of any file, and variables over
    both; what is empty is as if it were not there (pip's Configuration and ConfigOptionParser).
    """
    layers: dict[str, dict[str, Setting]] = {"global": {}, "install": {}}
    broken = []
    for path in _pip_files(host):
        try:
            sections = read_pip_conf(read_file(host.at(path)))
        except OSError:
            continue
        except configparser.Error:
            broken.append(path)
            continue
        for section, found in layers.items():
            items = sections.get(section, {}).items()
            found.update((key, Setting(value, path)) for key, value in items)
    variables = {
        name.removeprefix("PIP_").lower().replace("_", "-"): Setting(value, name)
        for name, value in host.environment.items()
        if name.startswith("PIP_")
    }
    settings: dict[str, Setting] = {}
    for layer in (*layers.values(), variables):
        settings.update((key, setting) for key, setting in layer.items() if setting.value)
    return settings, broken


def _pip_files(host: Host) -> Iterator[str]:
    """Yield the files that pip reads: of the host, of the user, of the environment."""
    variable = host.environment.get("PIP_CONFIG_FILE")
    if variable == os.devnull:
        return
    named = str(Path(variable).absolute()) if variable else ""
    for directory in _xdg_directories(host):
        yield f"{directory}/pip/pip.conf"
    yield PATHS["pip"]
    if not named or not host.at(named).exists():
        yield f"{host.home}/.pip/pip.conf"
        yield f"{_user_directory(host)}/pip/pip.conf"
    yield f"{host.environment.get('VIRTUAL_ENV') or '/usr'}/pip.conf"
    if named:
        yield named


def _xdg_directories(host: Host) -> list[str]:
    return [d for d in (host.environment.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":") if d]


def _user_directory(host: Host) -> str:
    return host.environment.get("XDG_CONFIG_HOME") or f"{host.home}/.config"


def note_pip(host: Host) -> list[str]:
    """Return what leads pip of the caller elsewhere than /etc/pip.conf says."""
    settings, broken = find_pip_settings(host)
    notes = [f"{clean(path)} cannot be parsed: pip fails until that is mended" for path in broken]
    path = PATHS["pip"]
    if os.devnull == host.environment.get("PIP_CONFIG_FILE"):
        notes.append(f"PIP_CONFIG_FILE is {os.devnull}: pip does not read {path}")
    if (index := settings.get("index-url")) and index.source != path:
        notes.append(f"index-url of {clean(index.source)} wins over {path}: {redact(index.value)}")
    if extra := settings.get("extra-index-url"):
        notes.append(
            f"extra-index-url of {clean(extra.source)}: pip asks that too, around the cache"
        )
    if proxy := settings.get("proxy"):
        notes.append(f"proxy of {clean(proxy.source)}: pip would ask that proxy for everything")
    off = ("0", "f", "false", "n", "no", "off")
    if (refusal := settings.get("no-index")) and refusal.value.lower() not in off:
        notes.append(f"no-index of {clean(refusal.source)}: pip asks no index at all")
    return notes


def note_uv(host: Host) -> list[str]:
    """Return what leads uv of the caller elsewhere than /etc/uv/uv.toml says."""
    path = PATHS["uv"]
    effects = {
        "UV_CONFIG_FILE": f"uv does not read {path}",
        "UV_NO_CONFIG": f"uv does not read {path}",
        "UV_DEFAULT_INDEX": f"it wins over {path}",
        "UV_INDEX_URL": f"it wins over {path}",
        "UV_INDEX": "uv asks that first, around the cache",
        "UV_EXTRA_INDEX_URL": "uv asks that first, around the cache",
    }
    notes = [f"{name} is set: {effects[name]}" for name in effects if host.environment.get(name)]
    for directory in _xdg_directories(host):
        other = f"{directory}/uv/uv.toml"
        if host.at(other).is_file():
            notes.append(f"{clean(other)} is there: uv reads it in place of {path}")
    own = f"{_user_directory(host)}/uv/uv.toml"
    try:
        settings = read_uv_toml(read_file(host.at(own)))
    except OSError:
        return notes
    except tomllib.TOMLDecodeError:
        return [*notes, f"{clean(own)} cannot be parsed: uv fails until that is mended"]
    if settings.get("index") or settings.get("extra-index-url"):
        notes.append(f"{clean(own)} names an index: uv asks that first, around the cache")
    if settings.get("no-index"):
        notes.append(f"no-index of {clean(own)}: uv asks no index at all")
    return notes


def note_proxy(host: Host, address: Address) -> list[str]:
    """Return the NO_PROXY line that the address needs, and why; nothing if it needs none."""
    env = host.environment
    names = (f"{address.scheme}_proxy", "all_proxy")
    variable = next((n for base in names for n in (base, base.upper()) if env.get(n)), None)
    if variable is None or _is_exempt(address, env.get("no_proxy") or env.get("NO_PROXY") or ""):
        return []
    # Where both are set, the lower-case one is read.
    name = "no_proxy" if env.get("no_proxy") else "NO_PROXY"
    return [
        f"{variable} is set and NO_PROXY does not exempt {address.host}: pip and uv would ask "
        "that proxy for what the cache has. So add: "
        f'export {name}="${{{name}:+${name},}}{address.host}"'
    ]


def _is_exempt(address: Address, no_proxy: str) -> bool:
    """Match as pip and uv both do: by name, suffix, IPv4 network or "*"; by no port."""
    names = [name.strip().lower().lstrip(".") for name in no_proxy.split(",")]
    return any(
        name in ("*", address.host)
        or (name and address.host.endswith(f".{name}"))
        or _is_within(address.host, name)
        for name in names
    )


def _is_within(host: str, network: str) -> bool:
    try:
        return "/" in network and ipaddress.IPv4Address(host) in ipaddress.IPv4Network(network)
    except ValueError:
        return False


# ── commands ─────────────────────────────────────────────────────────────────────────────────

UV_LOCKS = """\
With a committed uv.lock that was made against another index, this setting
makes `uv sync --locked` fail, `uv sync --frozen` download around the cache,
and `uv sync` and `uv run` rewrite every address in the lock. Instead, with all
hashes and through the cache:
  uv venv
  uv export --frozen --no-emit-project | uv pip sync -
  uv pip install --no-deps -e .      # the project itself, if it is a package
  uv run --no-sync COMMAND
"""


def enable(host: Host, options: argparse.Namespace) -> int:
    """Write the files that are to lead pip, and uv if asked, to an address."""
    try:
        address = parse_address(options.url)
    except ValueError as error:
        sentence = f"the URL {clean(str(error))}; for example {DEFAULT_URL}"
        raise ClientError(sentence, exit_code=2) from None
    require_root(host, "enable")
    pip, uv = examine(host, "pip"), examine(host, "uv")
    # A host has one address: what we wrote for uv earlier goes with pip's.
    targets = [pip, uv] if options.uv or uv.state == "ours" else [pip]
    for target in targets:
        _require_ours(target, address)
    _require_answer(host, address, force=options.force)
    for target in targets:
        _put(host, target, address)
    if options.uv:
        _say(UV_LOCKS.rstrip("\n"))
    elif uv.state == "changed" and not says("uv", uv.text, address):
        _note(f"{uv.path} {uv.why}, and stays as it is")
    notes = note_pip(host) + (note_uv(host) if len(targets) > 1 else [])
    for note in notes + note_proxy(host, address):
        _note(note)
    return 0


def _require_ours(target: Target, address: Address) -> None:
    """Refuse a file that somebody else wrote or edited, unless it says what we would write."""
    if target.state in ("absent", "ours") or says(target.tool, target.text, address):
        return
    raise ClientError(
        f"{target.path} {target.why}, and stays as it is; nothing was changed. By hand, it needs "
        f"{_needs(target.tool, address)}"
    )


def _needs(tool: Tool, address: Address) -> str:
    """Return what a file of somebody else lacks, as the end of a sentence."""
    lines = render(tool, address).replace(_HEADING, "").splitlines()
    section, *settings = (line for line in lines if not line.startswith("#"))
    return f"{' and '.join(settings)} under {section}"


def _require_answer(host: Host, address: Address, *, force: bool) -> None:
    reply = ask(address)
    if reply.server:
        return
    found = f"{address.url}: {_failure(address, reply)}"
    if force:
        _note(found)
        return
    remedy = _remedy(host, address, reply.cause)
    raise ClientError(f"{found}{remedy and '; '}{remedy} (--force writes anyway)")


def _failure(address: Address, reply: Reply) -> str:
    if address.unnamed_port and reply.cause in ("refused", "silent", "stranger"):
        return f"{reply.reason} ({address.unnamed_port})"
    return reply.reason


_STRANGER = "another program has that port: name that of pypicached"


def _remedy(host: Host, address: Address, cause: Cause) -> str:
    """Return what to do about an address that is no pypicached; "" where the reason says it."""
    if cause == "tls":
        return f"try http://{address.netloc}/"
    if cause == "index":
        return f"its own is {address.scheme}://{address.netloc}/simple/"
    if not address.is_loopback:
        return "is that its address, and does it listen there for other hosts?" if cause else ""
    if cause == "stranger":
        return _STRANGER
    return _wake(host, cause) if cause else ""


def _wake(host: Host, cause: Cause) -> str:
    """Return how to get an answer out of this host's own pypicached."""
    directories = ("etc", "run", "usr/local/lib", "usr/lib", "lib")
    units = [host.at(f"/{directory}/systemd/system/{SOCKET}") for directory in directories]
    if not any(unit.exists() for unit in units):
        return "is pypicached installed on this host, and does it run? Else name another address"
    if not _is_active(SOCKET, host):
        is_free = cause == "refused"
        return f"start it: systemctl start {SOCKET} pypicached" if is_free else _STRANGER
    if cause == "refused":
        return f"{SOCKET} listens elsewhere: systemctl status {SOCKET}"
    # systemd has accepted the connection, and so it is the service that does not start.
    return "why not, says: journalctl -u pypicached -n 20"


def _is_active(unit: str, host: Host) -> bool:
    if not host.at("/run/systemd/system").is_dir():
        return False
    # A constant line, with the PATH of its caller.
    line = ["systemctl", "is-active", "--quiet", unit]
    return subprocess.run(line, check=False).returncode == 0  # noqa: S603


def _put(host: Host, target: Target, address: Address) -> None:
    text = render(target.tool, address)
    if target.state in ("changed", "foreign"):
        _say(f"{target.path} has {address.url} already, and stays as it is: it {target.why}")
    elif target.text == sign(text, made_directory=target.made_directory):
        _say(f"{target.path} has {address.url} already")
    else:
        write(host, target, text)
        _say(f"{target.path} written: {target.tool} uses {address.url}")


def disable(host: Host, options: argparse.Namespace) -> int:
    """Remove the files that are ours; what somebody edited stays, and is said."""
    targets = [examine(host, tool) for tool in PATHS]
    ours = [target for target in targets if target.state == "ours"]
    changed = [target for target in targets if target.state == "changed"]
    if ours:
        require_root(host, "disable")
    for target in ours:
        remove(host, target)
        if not options.quiet:
            _say(f"{target.path} removed")
    for target in changed:
        _note(f"{target.path} {target.why}, and stays: its index is {redact(target.url) or 'none'}")
    if not ours and not changed and not options.quiet:
        _say("nothing to undo: no file is ours")
    # A package must be removable whatever an administrator has edited.
    return 1 if changed and not options.quiet else 0


def status(host: Host, options: argparse.Namespace) -> int:
    """Say what is enabled, what pip would use, and whether the address answers."""
    document = describe(host)
    if options.json:
        _say(json.dumps(document, indent=2))
    else:
        for line in render_status(document):
            _say(line)
    return 1 if document["problems"] else 0


def describe(host: Host) -> dict[str, Any]:
    """Return the document that `status --json` prints."""
    targets = [examine(host, tool) for tool in PATHS]
    replies = {address.url: ask(address) for address in _addresses(targets)}
    settings, _ = find_pip_settings(host)
    index = settings.get("index-url", Setting("", ""))
    return {
        "version": __version__,
        "files": [_describe_file(target) for target in targets],
        "pip": {"url": redact(index.value) or None, "source": clean(index.source) or None},
        "addresses": [
            {"url": url, "server": reply.server or None, "reason": reply.reason or None}
            for url, reply in replies.items()
        ],
        "problems": _problems(targets, replies),
        "notes": _notes(host, targets, [parse_address(url) for url in replies]),
    }


def _describe_file(target: Target) -> dict[str, str | None]:
    return {
        "path": target.path,
        "tool": target.tool,
        "state": target.state,
        "url": redact(target.url) or None,
        "reason": target.why or None,
    }


def _problems(targets: Sequence[Target], replies: Mapping[str, Reply]) -> list[str]:
    pip, default = targets[0], parse_address(DEFAULT_URL)
    is_enabled = any(target.is_signed for target in targets) or any(
        reply.server for reply in replies.values()
    )
    if not is_enabled and pip.state != "foreign":
        return [f"nothing is enabled: sudo {PROGRAM} enable"]
    if not is_enabled and not says("pip", pip.text, default):
        return [
            f"nothing is enabled, and {pip.path} {pip.why}: by hand, it needs "
            f"{_needs('pip', default)}, or another address of a pypicached"
        ]
    if not replies:
        return ["no file names an address any more"]
    return [
        f"{url}: {_failure(parse_address(url), reply)}"
        for url, reply in replies.items()
        if not reply.server
    ]


def _notes(host: Host, targets: Sequence[Target], addresses: Sequence[Address]) -> list[str]:
    pip, uv = targets
    notes = note_pip(host) if pip.state != "absent" else []
    notes += note_uv(host) if uv.state != "absent" else []
    return notes + [note for address in addresses for note in note_proxy(host, address)]


def _addresses(targets: Sequence[Target]) -> list[Address]:
    """Return the addresses that count as enabled, each once: ours, else one written by hand."""
    pip, _ = targets
    urls = [target.url for target in targets if target.is_signed] or [pip.url]
    addresses = []
    for url in dict.fromkeys(urls):
        with contextlib.suppress(ValueError):
            addresses.append(parse_address(url))
    return addresses


def render_status(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield the document as lines for people."""
    for file in document["files"]:
        url = f": {file['url']}" if file["url"] else ""
        why = f" ({file['reason']})" if file["reason"] else ""
        yield f"{file['path']:<16} {file['state']}{url}{why}"
    pip = document["pip"]
    used = f"{pip['url']} ({pip['source']})" if pip["url"] else "PyPI (its default)"
    yield f"{'pip uses':<16} {used}"
    for address in document["addresses"]:
        if address["server"]:
            yield f"{'answers':<16} {address['url']} as {address['server']}"
    for name in ("problem", "note"):
        for text in document[f"{name}s"]:
            yield f"{name}: {text}"


# ── the command line ─────────────────────────────────────────────────────────────────────────


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Make pip and uv of this whole host use a pypicached.",
        epilog="exit codes: 0 done; 1 failed, and for status: nothing is enabled, or the address "
        "does not answer as a pypicached; 2 wrong usage; 4 not allowed.",
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _fill_enable(
        commands.add_parser(
            "enable",
            help="write /etc/pip.conf, if there is none",
            description="Write /etc/pip.conf, if there is none, once the address has answered.",
            epilog=f"About --uv: {UV_LOCKS}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
    )
    command = commands.add_parser(
        "disable",
        help="remove what enable wrote, unless it was edited",
        description="Remove what enable wrote. A file that was edited since stays: exit code 1.",
    )
    help_text = "say only what stays, and do not fail for it (for the package's removal)"
    command.add_argument("--quiet", action="store_true", help=help_text)
    command.set_defaults(run=disable)
    command = commands.add_parser(
        "status",
        help="say what is enabled, and whether it answers",
        description="Say what is enabled, what pip of the calling user would use, and whether the "
        "address answers as a pypicached.",
    )
    command.add_argument("--json", action="store_true", help="print one JSON document")
    command.set_defaults(run=status)
    return parser


def _fill_enable(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "url",
        metavar="URL",
        nargs="?",
        default=DEFAULT_URL,
        help="where pypicached is; default: %(default)s",
    )
    command.add_argument("--uv", action="store_true", help="write /etc/uv/uv.toml, too")
    command.add_argument("--force", action="store_true", help="also if the address does not answer")
    command.set_defaults(run=enable)


def this_host() -> Host:
    """Return this host, as the caller sees it."""
    environment = _login_environment(Path("/etc/environment")) | dict(os.environ)
    is_root = os.geteuid() == 0
    home = environment.get("HOME") or "/"
    if is_root and environment.get("SUDO_USER", "root") != "root":
        # What sudo leaves of the environment is root's.
        environment.pop("XDG_CONFIG_HOME", None)
        with contextlib.suppress(KeyError):
            home = pwd.getpwnam(environment["SUDO_USER"]).pw_dir
    return Host(Path("/"), home, environment, is_root)


def _login_environment(path: Path) -> dict[str, str]:
    """Return what pam_env(8) gives everybody who logs in; sudo takes proxies away again."""
    try:
        lines = read_file(path).splitlines()
    except OSError:
        return {}
    pairs = (line.strip().removeprefix("export ").partition("=") for line in lines)
    return {name: value.strip("\"'") for name, equals, value in pairs if equals}


def main(arguments: Sequence[str] | None = None, host: Host | None = None) -> int:
    """Run a command and return its exit code; argparse ends the process for wrong usage."""
    options = build_parser().parse_args(arguments)
    try:
        code: int = options.run(host or this_host(), options)
        # Here, where a reader that has gone can still be met quietly.
        sys.stdout.flush()
    except ClientError as error:
        _note(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        _note("interrupted")
        return INTERRUPTED
    except OSError as error:
        # What is still buffered goes nowhere, or the interpreter complains of it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return PIPE_CLOSED
        _note(f"cannot write the output: {error.strerror}")
        return 1
    return code


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _note(text: str) -> None:
    sys.stdout.flush()
    sys.stderr.write(f"{PROGRAM}: {text}\n")


if __name__ == "__main__":
    sys.exit(main())
