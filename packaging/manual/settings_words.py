"""What each setting is for, in words; `pypicached.settings.schema` has the settings themselves.

A setting without words, or words without a setting, fail the build.
"""

from __future__ import annotations

from typing import NamedTuple


class Words(NamedTuple):
    """A type as `TYPES` explains it, what it does, and what holds while there is no default."""

    type: str
    meaning: str
    unset: str = ""


DESCRIPTION = """
The configuration of pypicached(1), in TOML. No file is needed: what is not set has its default.
The first of these is read: `--config FILE`; `/etc/pypicached/pypicached.toml` for the system's
daemon and for root; `~/.config/pypicached/pypicached.toml` for everybody else, or that of /etc if
there is none.

The environment goes before the file, and the command line before the environment.
`pypicached config check` tells every problem of a file at once, and `pypicached config show` what
holds and where it comes from. An unknown key is an error.

`pypicached reload`, or `systemctl reload pypicached`, has a running daemon read the file again;
what needs a restart instead is said then. A file with mistakes changes nothing.
"""

VALUES = "What settings are written as:"
TYPES = (
    (
        "duration",
        'Text such as "500ms", "10s", "10m", "1h30m", "30d"; a plain number is seconds. Some have '
        "a word "
        'for none: "off", "never".',
    ),
    (
        "size",
        'Text such as "64MiB", "50GiB", "2TB"; a plain number is bytes. K, M, G and T alone are '
        "powers of 1024.",
    ),
    (
        "networks",
        'A list of networks and addresses: ["127.0.0.0/8", "::1", "172.16.0.0/12"].',
    ),
    ("names", 'A list of project names, with * and ? if need be: ["acme-*"].'),
    (
        "requirements",
        'A list of projects, and versions of them if need be: ["evil", "foo<2", "bar==1.2.3"].',
    ),
    ("path", "Relative to the directory of the file; ~ is the user's home."),
)

SECTIONS = {
    "server": "Where the daemon listens, whom it answers, and what it logs.",
    "cache": "Where things are kept, how much, and for how long they are fresh.",
    "store": "Whether files are kept beyond this host's disk, for other hosts, too.",
    "store.s3": (
        "A bucket of any store that speaks S3, which a fleet of daemons shares. Each keeps what it "
        "uses on its own disk as before; what is not there comes from the bucket, and from its "
        "index only if the bucket does not have it. The key needs the rights to list the bucket, "
        "and to get, put and delete objects."
    ),
    "limits": "Bounds against hostile and broken peers.",
    "policy": "What is not served, whatever an index says and a client asks.",
    "audit": "What is remembered of clients, for `pypicached who`.",
}

SETTINGS = {
    "server.listen": Words(
        "list",
        '"HOST:PORT", "[IPV6]:PORT" or "unix:/path". Sockets that systemd hands over win: under '
        "the "
        "system's service an address is set in pypicached.socket.",
    ),
    "server.trusted_proxies": Words(
        "networks",
        "Reverse proxies whose X-Forwarded-For is believed, for `allow_from`, `pypicached who` "
        "and the "
        "access log.",
    ),
    "server.allow_from": Words(
        "networks",
        "Who may connect; everybody else has a 403 for whatever they ask. Empty: everybody. Name "
        "this "
        "host's own addresses, too, if something on it is to connect.",
    ),
    "server.control_socket": Words(
        "path",
        "Where the commands reach the daemon.",
        "control.sock in the runtime directory",
    ),
    "server.access_log": Words("true or false", "A line in the log for each request."),
    "server.log_format": Words('"text" or "json"', "What log lines look like."),
    "server.log_level": Words(
        '"debug", "info", "warning" or "error"', "From what on it is logged."
    ),
    "server.drain": Words(
        "duration", "How long running transfers may go on once the daemon was told to stop."
    ),
    "cache.directory": Words(
        "path",
        "Files, their temporary ones and, unless `ledger` or systemd says otherwise, the ledger.",
        "the user's cache directory; /var/cache/pypicached for the system's daemon",
    ),
    "cache.ledger": Words(
        "path",
        "The SQLite file of pages, entries and statistics; pins.txt stands beside it.",
        "ledger.sqlite in `directory`; in /var/lib/pypicached for the system's daemon",
    ),
    "cache.max_size": Words(
        'size, share of the disk ("40%") or "unlimited"',
        "How much room everything under `directory` but the ledger may take. The least recently "
        "used "
        "files go first.",
    ),
    "cache.min_free": Words(
        'size or share of the disk ("5%")',
        "What stays free on that disk, also for others: the cache shrinks for it. A share is at "
        "least "
        "2 GiB.",
    ),
    "cache.prune_after": Words(
        'duration of at least a day, or "never"',
        "What was not used for so long is dropped, once a day.",
    ),
    "cache.memory": Words("size", "Ready-made pages and small files in memory; 0 keeps none."),
    "cache.page_ttl": Words(
        "duration", "How long a page is served before its index is asked again."
    ),
    "cache.stale_while_revalidate": Words(
        'duration or "off"',
        "For how long beyond its time a page is served at once and refreshed behind.",
    ),
    "cache.stale_if_error": Words(
        'duration or "off"', "For how long beyond its time a page is served while its index fails."
    ),
    "cache.negative_ttl": Words(
        "duration", "How long it is remembered that an index does not have a project."
    ),
    "cache.page_deadline": Words(
        "duration", "A stale page is served by then if its index has not answered."
    ),
    "cache.cold_deadline": Words(
        "duration",
        "With nothing stored, a client is told by then that the index has not answered, as a 502 "
        "or "
        "503. The request to the index goes on, and the client's next one joins it.",
    ),
    "cache.offline": Words(
        "true or false", "Never ask an index; list and serve only what is cached."
    ),
    "store.kind": Words('"local" or "s3"', "The disk alone, or a bucket behind it."),
    "store.s3.bucket": Words("text", "Its name.", "required for kind s3"),
    "store.s3.prefix": Words(
        "text", "What stands before every key, so that a bucket can hold other things, too."
    ),
    "store.s3.endpoint_url": Words(
        "URL", "Where the store is, if not at Amazon.", "that of the region"
    ),
    "store.s3.region": Words(
        "text", "The region of the bucket.", "that of the environment or of ~/.aws/config"
    ),
    "store.s3.access_key_id": Words(
        "text",
        "The key to it, with a secret.",
        "what the environment, ~/.aws or the role of the machine give",
    ),
    "store.s3.secret_access_key": Words(
        "text", "The same as `secret_access_key_file`, readable for whoever reads this file."
    ),
    "store.s3.secret_access_key_file": Words("path", "A file of one line; see SECRETS."),
    "store.s3.addressing": Words(
        '"auto", "path" or "virtual"',
        "Whether the bucket is named in the path or in the host of its URLs.",
    ),
    "store.s3.serve": Words(
        '"proxy" or "redirect"',
        "How clients get what is in the bucket: through the daemon, or straight from the store.",
    ),
    "store.s3.redirect_status": Words("301, 302, 307 or 308", "The status of such a redirect."),
    "store.s3.public_url": Words(
        "URL",
        "Where clients get objects by their keys without a signature; redirects lead there.",
        "redirects are signed, for an hour",
    ),
    "limits.clients": Words("number", "Connections at a time; idle ones yield to new ones."),
    "limits.request_head": Words("duration", "How long a client may take to send a request."),
    "limits.page_size": Words(
        "size", "Of a project page, unpacked; the project list may have four times as much."
    ),
    "limits.metadata_size": Words("size", "Of a file's core metadata."),
    "policy.min_age": Words(
        'duration of at least an hour, or "off"',
        "Files uploaded less than so long ago are hidden, and appear by themselves when they are "
        "of "
        "age. A file without an upload time never is.",
    ),
    "policy.deny": Words("requirements", "What is not served."),
    "policy.allow": Words("requirements", "If not empty: nothing else is served."),
    "policy.exempt": Words("names", "Projects that need not be of age."),
    "policy.removed_files": Words(
        '"keep" or "refuse"',
        "Whether a cached file that its index lists no more is still served at its URL. Either "
        "way it "
        "is no longer listed, and `pypicached status` names it.",
    ),
    "audit.keep": Words(
        'duration of at least a day, or "off"',
        "How long `pypicached who` remembers; off stores no client address, and removes what "
        "there was.",
    ),
    "index.name": Words(
        "lower-case letters, digits and -", "Its name in URLs, commands and the log.", "required"
    ),
    "index.url": Words(
        "URL",
        "The root of its Simple API. user:password@ in it is taken out at once.",
        "required, but for the name pypi",
    ),
    "index.ttl": Words("duration", "As `page_ttl`, for this index.", "[cache] page_ttl"),
    "index.username": Words("text", "For Basic authentication, with a password."),
    "index.password": Words(
        "text", "The same as `password_file`, readable for whoever reads this file."
    ),
    "index.password_file": Words("path", "A file of one line; see SECRETS."),
    "index.token": Words("text", "For Bearer authentication; as `token_file`."),
    "index.token_file": Words("path", "A file of one line; see SECRETS."),
    "index.ca_file": Words(
        "path", "Certificates (PEM) that are trusted for it.", "those of the system"
    ),
    "index.client_cert": Words("path", "A client certificate (PEM), shown to its own origin only."),
    "index.client_key": Words("path", "Its key, if that is in another file."),
    "index.proxy": Words(
        'URL or "off"',
        "The HTTP proxy through which it is asked: http://[user:password@]host:port.",
        "HTTPS_PROXY, HTTP_PROXY and NO_PROXY of the environment",
    ),
    "index.timeout": Words("duration", "How long it may stay silent within an answer."),
    "index.connect_timeout": Words("duration", "How long connecting may take."),
    "index.page_deadline": Words(
        "duration", "As in [cache], for this index.", "[cache] page_deadline"
    ),
    "index.cold_deadline": Words(
        "duration", "As in [cache], for this index.", "[cache] cold_deadline"
    ),
    "index.file_deadline": Words(
        "duration", "By then a file's first byte has come, or the client is told.", "cold_deadline"
    ),
    "index.projects": Words(
        "names",
        "This index alone answers for these names; no other one is asked for them. Empty: it is "
        "asked, "
        "in the order of the file, for what no index claims so.",
    ),
    "index.exclude": Words("names", "Names that it is never asked for."),
    "index.allow_addresses": Words(
        "networks",
        "Where its redirects and links may lead besides public addresses, and private or loopback "
        "ones if "
        "it lives on such a one itself.",
    ),
}

INDEX_SECTION = """
One table for each index; none at all: PyPI alone. They are never merged: the first that has a
project owns it. An index that fails is not skipped.
"""

SECRETS = """
A password or token may stand in a file of its own, named by `password_file` or `token_file`. Such a
file is read again when the index answers 401, and at a reload. `secret_access_key_file` is such a
file, too, and is read at a start only.

Under the system's service such files are in `/etc/pypicached/credentials/`, owned by root and with
mode 0600. systemd hands copies of them over when the service starts: the file NAME is then
`$CREDENTIALS_DIRECTORY/cred_NAME` in the settings, and a new secret there needs
`systemctl restart pypicached`. A file elsewhere that the user pypicached can read needs none. An
index without any of these has the
credentials of its host in `~/.netrc`.

No secret appears in a log, a page, the ledger or `pypicached config show`.
"""

ENVIRONMENT = """
Every setting but those of an index can be given as a variable: PYPICACHED_, the section, two
underscores, the key, as in `PYPICACHED_CACHE__MAX_SIZE=50GiB`. Lists are separated by commas, or
JSON. `PYPICACHED_INDEX_URL` is the one index, in place of those of the file.
"""

FILES = (
    ("/etc/pypicached/pypicached.toml", "Of the system's daemon."),
    ("~/.config/pypicached/pypicached.toml", "Of a user's own."),
    ("/etc/default/pypicached", "Variables for the system's daemon."),
)

EXAMPLE = """
[cache]
max_size = "200GiB"
prune_after = "180d"

[[index]]
name = "acme"
url = "https://index.acme.example/simple/"
username = "build"
password_file = "$CREDENTIALS_DIRECTORY/cred_acme"
projects = ["acme-*"]

[[index]]
name = "pypi"

[policy]
min_age = "3d"
exempt = ["acme-*"]
"""

SEE_ALSO = "pypicached(1), systemd.exec(5)"
