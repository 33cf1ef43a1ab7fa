"""Requests and answers of commands that change what is kept, or read it through."""

from __future__ import annotations

import msgspec

from pypicached.messages.basic import Progress


class PruneRequest(msgspec.Struct, kw_only=True):
    """Exactly one of `days` and `to_size_bytes`; `projects` limits it to these (normalized)."""

    days: float | None = None
    to_size_bytes: int | None = None
    projects: list[str] = []
    dry_run: bool = False


class PrunedFile(msgspec.Struct):
    """One file that goes, or would go."""

    project: str
    filename: str
    size_bytes: int
    last_used_at: str


class PruneAnswer(msgspec.Struct):
    """`pypicached prune`: `bytes` is what is freed on disk (blocks); `pages` counts pages.

    `failed` names what the disk did not let go; `pinned` counts the files that a pin spared.
    """

    dry_run: bool
    files: list[PrunedFile]
    pages: int
    bytes: int
    failed: list[str] = []
    pinned: int = 0


class PruneLine(msgspec.Struct, omit_defaults=True):
    """One line of the NDJSON answer to `POST /prune`; exactly one member is set.

    `part` are the next of the result's files, which itself has none: there may be a million.
    """

    progress: Progress | None = None
    part: list[PrunedFile] | None = None
    result: PruneAnswer | None = None
    error: str | None = None


class PruneStoreRequest(msgspec.Struct, kw_only=True):
    """What no host has used for so many days is to go from the store that hosts share."""

    days: float
    dry_run: bool = False


class PruneStoreAnswer(msgspec.Struct):
    """`pypicached prune --store`: objects looked at, and gone (or that would go) with their bytes.

    `pinned` are spared by a pin of this host; `uploads` that nobody had ended were given up;
    `failed` says what the store refuses.
    """

    dry_run: bool
    looked_at: int
    objects: int
    bytes: int
    pinned: int = 0
    uploads: int = 0
    failed: list[str] = []


class PruneStoreLine(msgspec.Struct, omit_defaults=True):
    """One line of the NDJSON answer to `POST /prune/store`; exactly one member is set."""

    progress: Progress | None = None
    result: PruneStoreAnswer | None = None
    error: str | None = None


class OfflineRequest(msgspec.Struct):
    """`pypicached offline on|off`, until the daemon's next start."""

    on: bool


class OfflineAnswer(msgspec.Struct):
    """How it is now, how it was, and how many transfers that run go on to their end."""

    offline: bool
    was_offline: bool
    downloads: int = 0


class ReloadedKey(msgspec.Struct):
    """What changed: `section.key`, `index.NAME.KEY`, `index.NAME`, or `index` (their order).

    `what`: changed, added, removed or reordered.
    """

    key: str
    what: str


class ConfigProblem(msgspec.Struct):
    """One problem of a configuration, in the words of `config check`."""

    key: str
    message: str
    suggestion: str


class ReloadAnswer(msgspec.Struct, kw_only=True):
    """`pypicached reload`: what is in force by now; with any of `problems`, nothing changed.

    `file` is the configuration file that was read; `needs_restart` are keys whose new value waits.
    """

    file: str | None = None
    changed: list[ReloadedKey] = []
    needs_restart: list[str] = []
    warnings: list[str] = []
    problems: list[ConfigProblem] = []


class InvalidateRequest(msgspec.Struct, kw_only=True):
    """Exactly one of `projects`, `project_list` and `everything`; `index`: of that one only."""

    projects: list[str] = []
    project_list: bool = False
    everything: bool = False
    index: str | None = None
    files: bool = False


class InvalidateAnswer(msgspec.Struct):
    """How many pages will be asked anew, which projects had none, and what `--files` removed.

    `pinned` and `failed` name the files that it did not: a pin holds them, or the disk.
    """

    pages: int
    unknown: list[str]
    files: int = 0
    bytes: int = 0
    pinned: list[str] = []
    failed: list[str] = []


class PinRow(msgspec.Struct):
    """`pypicached pin`: one rule, and what is cached of what it holds, sidecars included."""

    requirement: str
    files: int
    size_bytes: int


class PinRequest(msgspec.Struct):
    """Rules to pin or unpin, as PEP 508 spells them: a name and versions, nothing else."""

    requirements: list[str]


class PinAnswer(msgspec.Struct):
    """The rules that were asked for, each spelled in the one way that the list has it.

    `unchanged` are those that were pinned already, or (of an unpin) were not pinned.
    """

    changed: list[PinRow]
    unchanged: list[str]


class RepairRequest(msgspec.Struct):
    """Verify the files of these projects (normalized; none: all), and drop what is damaged."""

    projects: list[str] = []


class VerifyProblem(msgspec.Struct):
    """One file that is not what it was; `repaired`: dropped, so that it is fetched again.

    A blob that no file is known of has an empty project, and its digest for a name.
    """

    project: str
    filename: str
    problem: str
    repaired: bool


class VerifyAnswer(msgspec.Struct):
    """`pypicached verify`: how many blobs were read, and their bytes."""

    checked: int
    bytes: int
    problems: list[VerifyProblem]


class VerifyLine(msgspec.Struct, omit_defaults=True):
    """One line of the NDJSON answer to `verify`; exactly one member is set."""

    progress: Progress | None = None
    result: VerifyAnswer | None = None
    error: str | None = None
