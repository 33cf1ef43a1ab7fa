"""The canonical, upstream-neutral form of what an index says (Simple API 1.4).

Every upstream answer, JSON or HTML, is parsed into these types, stored in this form, and every
answer of ours is rendered from it. What an upstream did not say is `None`, never a guess.
Upstream URLs are kept as they are (absolute, encoded); only rendering turns them into links of
ours. Policy never changes a stored page.
"""

from __future__ import annotations

from typing import Literal

import msgspec

ProjectStatus = Literal["active", "archived", "quarantined", "deprecated"]


# No gc: it holds strings alone, and large pages have thousands of them to walk.
class ProjectFile(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """One distribution file of a project page (PEP 503, PEP 691 "files")."""

    # PEP 503: the text of the anchor; PEP 691 `filename`.
    filename: str
    # Absolute http(s) URL, percent-encoded as upstream had it, without fragment or userinfo.
    url: str
    # PEP 691 `hashes`: algorithm → lower-case hex; empty if upstream gave none.
    hashes: dict[str, str] = {}
    # PEP 700 `size` in bytes; None if upstream did not say.
    size: int | None = None
    # PEP 700 `upload-time`, to the character.
    upload_time: str | None = None
    # PEP 345 / PEP 503 `data-requires-python`, unescaped.
    requires_python: str | None = None
    # PEP 658/714 `core-metadata`: None unknown, False none, True without hash, or its hashes.
    core_metadata: bool | dict[str, str] | None = None
    # PEP 592 `yanked`: False, True without a reason, or the reason (never an empty string).
    yanked: bool | str = False
    # PEP 503 `data-gpg-sig`; None if upstream did not say.
    gpg_sig: bool | None = None
    # PEP 740 `provenance`: an absolute https URL.
    provenance: str | None = None


class ProjectPage(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A project page (PEP 691 project detail). `name` is the normalized name (PEP 503)."""

    name: str
    files: list[ProjectFile] = []
    # PEP 700 `versions`, as upstream listed them; None if it did not.
    versions: list[str] | None = None
    # PEP 792 project status marker and its reason; None if upstream did not say.
    status: ProjectStatus | None = None
    status_reason: str | None = None
    # What upstream claimed in `meta.api-version` or its `pypi:repository-version`; "1.0" if silent.
    api_version: str = "1.0"
    # Rows left out because they were no usable file entry (PRODUCT.md section 6).
    dropped: int = 0
