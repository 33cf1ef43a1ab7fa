"""The one tree of errors that pypicached raises on purpose.

Errors here know nothing of HTTP: `web.errors` holds the one table from class to status. A message
is one sentence for a person, never carries a credential, and never quotes what a peer sent except
where `clean` has made it short and printable.
"""

from __future__ import annotations

import re

# Greedy: a password may hold @ and /. What is hidden too much is not missed.
_CREDENTIALS = re.compile(r"//[^\s\"']*@")


def clean(text: str, limit: int = 200) -> str:
    """Return foreign text as one short line of printable ASCII, safe for logs and bodies."""
    # Almost always; a character at a time is what takes long where a million are printed.
    if len(text) <= limit and text.isascii() and text.isprintable():
        return text
    printable = "".join(c if " " <= c <= "~" else "?" for c in text[: limit + 1])
    return printable if len(printable) <= limit else printable[: limit - 1] + "…"


def quote(text: str, limit: int = 60) -> str:
    """Return what a person wrote in quotes, clean; credentials in a URL are asterisks.

    A URL may stand where none belongs, and messages reach logs.
    """
    return f'"{clean(_CREDENTIALS.sub("//********@", text), limit)}"'


class PypicachedError(Exception):
    """Anything that pypicached raises on purpose."""


# ── asking for what is not there ─────────────────────────────────────────────────────────────


class NotFoundError(PypicachedError):
    """Absent for certain: by grammar, by configuration, or because upstream said so."""


class BadNameError(NotFoundError):
    """A project name outside the grammar of PEP 508, or a path that no index can publish."""


class ProjectNotFoundError(NotFoundError):
    """Every index that may own the project said that it has none of that name."""


class FileNotListedError(NotFoundError):
    """The project's page does not list the file, so it is never fetched."""


class NotAcceptableError(PypicachedError):
    """No media type or coding that we can make is acceptable to the client (RFC 9110 §15.5.7)."""


class RefusedError(PypicachedError):
    """A rule refuses the file or project; the message names the rule and what it refused.

    `rule` is "quarantine" or the name of a setting of `[policy]` (or "allow_from"); `project` is
    whose files they are, for the record of who asked, "" where it was of no project.
    """

    def __init__(self, message: str, *, rule: str, project: str = "") -> None:
        super().__init__(message)
        self.rule = rule
        self.project = project


class ClientRefusedError(RefusedError):
    """The client's address is none that may connect; nothing else was looked at."""

    def __init__(self, message: str) -> None:
        super().__init__(message, rule="allow_from")


class LoopError(PypicachedError):
    """The request has come from this daemon itself, round a circle of caches (RFC 5842 §7.2)."""


# ── upstream ─────────────────────────────────────────────────────────────────────────────────


class UpstreamError(PypicachedError):
    """An index did not give what was asked of it; absence is never told from this.

    `index` names the index; `reason` is a short ASCII phrase of ours (under 80 characters) that
    may go into a status line.
    """

    def __init__(self, index: str, reason: str) -> None:
        super().__init__(f"index {index}: {reason}")
        self.index = index
        self.reason = reason


class UpstreamUnavailableError(UpstreamError):
    """No usable answer in time: refused, reset, timed out, DNS, TLS, 429 or 5xx.

    `retry_after` are the seconds for which upstream itself asked not to be asked again.
    """

    def __init__(self, index: str, reason: str, *, retry_after: float | None = None) -> None:
        super().__init__(index, reason)
        self.retry_after = retry_after


class UpstreamUnreachableError(UpstreamUnavailableError):
    """No connection came about: refused, no route, DNS, TLS, a proxy."""


class UpstreamTimeoutError(UpstreamUnavailableError):
    """Upstream took all the time that its index allows, and more would not help."""


class UpstreamBusyError(UpstreamUnavailableError):
    """Upstream answered 429: it wants fewer requests from us, whatever they ask for."""


class UpstreamPausedError(UpstreamUnavailableError):
    """Upstream keeps failing and was not asked: a probe will find out when it answers again."""


class UpstreamDeniedError(UpstreamError):
    """Upstream answered 401 or 403: our credentials are missing or have lapsed."""


class UpstreamRefusedError(UpstreamError):
    """Upstream is a cache like this one, and refuses by a rule of its own; `reason` quotes it."""


class UpstreamAnswerError(UpstreamError):
    """Upstream answered, but with something that an index does not say, or beyond a bound."""


class UpstreamLoopError(UpstreamAnswerError):
    """Upstream is a cache that has our own question to answer, or one of those behind it has."""


class AddressRefusedError(UpstreamAnswerError):
    """An index led to an address where it has no business: nothing was connected to."""


class VerificationError(UpstreamError):
    """The bytes of a file did not match the length or the digests that its index gave."""


class FileGoneError(UpstreamError):
    """Upstream answered 404 or 410 for a file that its own page lists."""


class StoppingError(PypicachedError):
    """The daemon is stopping; whoever retries will find the next one."""


class OfflineError(PypicachedError):
    """Not cached, and the operator said that upstreams are not to be asked.

    `reason` may go into a status line.
    """

    def __init__(self, what: str) -> None:
        super().__init__(f"offline: {what}")
        self.reason = f"offline: {what}"


# ── stores ───────────────────────────────────────────────────────────────────────────────────


class StoreError(PypicachedError):
    """A store of blobs did not do what was asked of it.

    `reason` is a short ASCII phrase of ours (under 80 characters); absence is told only by
    BlobMissingError.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"the store {reason}")
        self.reason = reason


class StoreUnavailableError(StoreError):
    """No usable answer in time: refused, reset, timed out, 5xx, asked to slow down."""


class StoreRefusedError(StoreError):
    """The store answers, and does not let us: credentials, rights, quota, no such bucket.

    `code` is the store's own word for it, if it has one.
    """

    def __init__(self, reason: str, code: str = "") -> None:
        super().__init__(reason)
        self.code = code


class WrongBytesError(StoreRefusedError):
    """What was to be stored under a digest are not its bytes: our own copy is damaged."""

    def __init__(self) -> None:
        super().__init__("was given bytes that are not those of the digest")


class BlobMissingError(StoreError):
    """There is no such blob, for certain."""

    def __init__(self) -> None:
        super().__init__("has no such blob")


# ── room ─────────────────────────────────────────────────────────────────────────────────────


class NoRoomError(PypicachedError):
    """There is no room on the blob disk now; the file may still be streamed through."""


class NeverFitsError(NoRoomError):
    """The file is larger than the whole budget: it will never be kept."""


# ── the host ─────────────────────────────────────────────────────────────────────────────────


class StartError(PypicachedError):
    """The daemon cannot start here; one sentence that says why and what to do next."""


class HostError(PypicachedError):
    """This host's disk or its processes failed us; upstream may be well.

    `reason` is a short ASCII phrase of ours (under 80 characters) that may go into a status line.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class SettingsError(PypicachedError):
    """The configuration is bad; `problems` are `(key, message, suggestion)`, all of them."""

    def __init__(self, problems: list[tuple[str, str, str]]) -> None:
        super().__init__("; ".join(f"{key}: {message}" for key, message, _ in problems))
        self.problems = problems


class BadInputError(PypicachedError):
    """Requirement or lock files are bad; `problems` are `FILE:LINE: reason`, of all files."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class LedgerError(PypicachedError):
    """The ledger cannot be used."""


class DamagedPageError(LedgerError):
    """A page in the ledger is not what was stored there."""


class PinsError(PypicachedError):
    """The file with the pins cannot be read or written; the rules in force stay as they were."""


class BusyError(PypicachedError):
    """Work of this kind is under way already, and runs only once at a time."""


class ControlError(PypicachedError):
    """The control socket answered with an error; the command should end with `exit_code`."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class AbsentError(ControlError):
    """The daemon knows nothing of what was asked for; a document has nothing in it then."""
