"""The settings once read: typed, complete and immutable. No defaults here; `schema` holds them.

Durations are seconds (float), sizes are bytes (int), paths are absolute. A word that means "none"
is `None` for "unlimited" and "never", and `0.0` for "off".
"""

from __future__ import annotations

from operator import attrgetter
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from pypicached.errors import SettingsError
from pypicached.exempt import is_exempt
from pypicached.networks import Network
from pypicached.requirement import Requirement
from pypicached.settings.netrc_file import NetrcError, read_netrc
from pypicached.settings.secret import HIDDEN, Secret, read_secret

# PRODUCT section 4: a share of the disk that is left free is never less than this.
MIN_FREE_FLOOR_BYTES = 2 * 1024**3

Scheme = Literal["http", "https"]
SCHEMES: tuple[Scheme, ...] = ("http", "https")


class Share(msgspec.Struct, frozen=True):
    """A part of a disk, in percent, to be resolved once the disk is known."""

    percent: float

    def of(self, total_bytes: int) -> int:
        """Return the share of `total_bytes`, in bytes."""
        return int(total_bytes * self.percent / 100)


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """`[server]`: where the daemon listens and what it logs."""

    # "HOST:PORT", "[IPV6]:PORT" or "unix:/path"; `split_listen` takes them apart.
    listen: tuple[str, ...]
    # Whose X-Forwarded-For is believed, and which clients may connect (none named: all).
    trusted_proxies: tuple[Network, ...]
    allow_from: tuple[Network, ...]
    control_socket: Path
    access_log: bool
    log_format: Literal["text", "json"]
    log_level: Literal["debug", "info", "warning", "error"]
    # Seconds that running transfers may go on after SIGTERM.
    drain: float


class Cache(msgspec.Struct, frozen=True, kw_only=True):
    """`[cache]`: where things are kept, how much, and for how long they are fresh."""

    directory: Path
    ledger: Path
    # Bytes, a share of the disk, or None for "unlimited".
    max_size: Share | int | None
    min_free: Share | int
    # Seconds without use after which a file or page is dropped; None is "never".
    prune_after: float | None
    # Bytes of ready-made answers in memory; 0 keeps none.
    memory: int
    # Seconds, all of them; 0.0 is "off" for the two stale ones.
    page_ttl: float
    stale_while_revalidate: float
    stale_if_error: float
    negative_ttl: float
    page_deadline: float
    cold_deadline: float
    # Whether upstreams are left alone from the start.
    offline: bool

    @property
    def directories(self) -> dict[str, Path]:
        """The directories that are written to, by the key that decides each."""
        return {"cache.directory": self.directory, "cache.ledger": self.ledger.parent}

    def max_size_bytes(self, disk_bytes: int) -> int | None:
        """Return the limit on a disk of `disk_bytes`; None means unlimited."""
        return self.max_size.of(disk_bytes) if isinstance(self.max_size, Share) else self.max_size

    def min_free_bytes(self, disk_bytes: int) -> int:
        """Return what stays free on a disk of `disk_bytes`; a share is at least 2 GiB."""
        if isinstance(self.min_free, Share):
            return max(self.min_free.of(disk_bytes), MIN_FREE_FLOOR_BYTES)
        return self.min_free


class ProxyUrl(msgspec.Struct, frozen=True):
    """An HTTP proxy: `url` has no credentials; text of it has asterisks in their place."""

    url: str
    username: str | None = None
    password: Secret | None = None

    def __str__(self) -> str:
        return self.url if self.username is None else self.url.replace("//", f"//{HIDDEN}@", 1)

    __repr__ = __str__


class EnvironmentProxies(msgspec.Struct, frozen=True):
    """`HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`: for every index without a `proxy` of its own.

    `variables` tells which variable gave the proxy of a scheme.
    """

    by_scheme: dict[Scheme, ProxyUrl] = {}
    variables: dict[Scheme, str] = {}
    exempt: str = ""

    def of(self, url: str) -> tuple[ProxyUrl, str] | None:
        """Return the proxy for a URL and the variable that says so; None: asked directly."""
        parts = urlsplit(url)
        for scheme, proxy in self.by_scheme.items():
            if scheme == parts.scheme and not is_exempt(parts.hostname or "", self.exempt):
                return proxy, self.variables[scheme]
        return None


class Index(msgspec.Struct, frozen=True, kw_only=True):
    """`[[index]]`: one upstream. `url` ends in a slash and never carries a credential."""

    name: str
    url: str
    # Seconds that its pages are fresh; None: `Cache.page_ttl`.
    ttl: float | None = None
    username: str | None = None
    password: Secret | None = None
    password_file: Path | None = None
    token: Secret | None = None
    token_file: Path | None = None
    # Where username and password come from, if no setting gives them.
    netrc: Path | None = None
    ca_file: Path | None = None
    # For its own origin only; the key may stand in the certificate's file.
    client_cert: Path | None = None
    client_key: Path | None = None
    # None: those of the environment.
    proxy: ProxyUrl | Literal["off"] | None = None
    # Seconds without a single byte, and seconds to connect.
    timeout: float
    connect_timeout: float
    # Seconds; None: those of `Cache`, and for a file's first byte `cold_deadline`.
    page_deadline: float | None = None
    cold_deadline: float | None = None
    file_deadline: float | None = None
    # Globs (`*` and `?`) on normalized names; empty `projects`: every name.
    projects: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    # Where it may lead to besides public addresses and those of its own kind.
    allow_addresses: tuple[Network, ...] = ()

    @property
    def authentication(self) -> Literal["none", "basic", "bearer"]:
        """How requests are signed: not, Basic (RFC 7617) or Bearer (RFC 6750)."""
        if self.token or self.token_file:
            return "bearer"
        return "basic" if self.username is not None else "none"

    @property
    def username_is_secret(self) -> bool:
        """Tell whether the user name is the credential (`https://TOKEN@host/`: no password)."""
        alone = self.password is None or not self.password.reveal()
        return self.username is not None and alone and self.password_file is None

    def read_secret(self) -> Secret | None:
        """Return the password or token as it is now; a `…_file` or netrc is read at each call.

        None without credentials. SettingsError if the file cannot be used. Blocks on the disk.
        """
        for kind, path in (("password", self.password_file), ("token", self.token_file)):
            if path is not None:
                return read_secret(path, f"index.{self.name}.{kind}_file")
        if self.netrc is not None:
            return self._read_netrc(self.netrc)
        return self.password or self.token

    def _read_netrc(self, path: Path) -> Secret | None:
        try:
            entry = read_netrc(path, urlsplit(self.url).hostname or "")
        except NetrcError as error:
            raise SettingsError([(f"index.{self.name}", str(error), "")]) from None
        return self.password if entry is None else entry[1]

    def __repr__(self) -> str:
        user = HIDDEN if self.username_is_secret else self.username
        return (
            f"Index(name={self.name!r}, url={self.url!r}, authentication={self.authentication!r}, "
            f"username={user!r}, projects={self.projects!r}, exclude={self.exclude!r})"
        )


class S3(msgspec.Struct, frozen=True, kw_only=True):
    """`[store.s3]`: a bucket, the key to it, and how its files reach clients."""

    # None only where no bucket is used.
    bucket: str | None
    # Before every key: "" or what ends in a slash.
    prefix: str
    # None: that of the region at Amazon.
    endpoint_url: str | None
    region: str | None
    # None, all three: botocore looks for a key (environment, files, roles).
    access_key_id: str | None
    secret_access_key: Secret | None
    secret_access_key_file: Path | None
    addressing: Literal["auto", "path", "virtual"]
    serve: Literal["proxy", "redirect"]
    redirect_status: int
    # Where clients get objects without a signature, by their keys; no slash at its end.
    public_url: str | None

    def read_secret(self) -> Secret | None:
        """Return the secret key, read from its file if it has one; None if none is set.

        SettingsError if the file cannot be used. Blocks on the disk.
        """
        if self.secret_access_key_file is not None:
            return read_secret(self.secret_access_key_file, "store.s3.secret_access_key_file")
        return self.secret_access_key


class Store(msgspec.Struct, frozen=True, kw_only=True):
    """`[store]`: whether files are kept beyond this host's disk, too."""

    kind: Literal["local", "s3"]
    s3: S3


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """`[limits]`: bounds against hostile or broken peers."""

    clients: int
    # Seconds to send a request head.
    request_head: float
    # Bytes, decoded; the project list may have four times as much.
    page_size: int
    metadata_size: int


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """`[policy]`: what is not served, whatever an index says."""

    # Seconds since its upload before a file is served; 0.0 is "off".
    min_age: float
    deny: tuple[Requirement, ...]
    # Empty: everything.
    allow: tuple[Requirement, ...]
    # Globs on normalized names of projects that need not be of age.
    exempt: tuple[str, ...]
    # Whether cached files that their index has removed are still served.
    removed_files: Literal["keep", "refuse"]


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """`[audit]`: what is remembered of clients."""

    # Seconds; 0.0 is "off": nothing is.
    keep: float


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that can be set; `indexes` are in file order, at least one."""

    server: Server
    cache: Cache
    indexes: tuple[Index, ...]
    store: Store
    limits: Limits
    policy: Policy
    audit: Audit
    # For indexes without a `proxy`.
    proxies: EnvironmentProxies = EnvironmentProxies()


def section_of(settings: Settings, name: str) -> msgspec.Struct:
    """Return a section by its name in a file, "store.s3" too."""
    section: msgspec.Struct = attrgetter(name)(settings)
    return section
