"""Which files have core metadata behind us, where upstream has it, and pages that say so. Pure."""

from __future__ import annotations

import msgspec

from pypicached.ledger import Kind
from pypicached.simple.model import ProjectFile, ProjectPage
from pypicached.simple.steps import Steps, batches

# PEP 658: what is appended to the path of a file for its core metadata.
SIDECAR = ".metadata"


def url_of(kind: Kind, entry: ProjectFile) -> str:
    """Return where upstream has a file, or its core metadata: `.metadata` goes before a query."""
    if kind == "file":
        return entry.url
    path, mark, query = entry.url.partition("?")
    return f"{path}{SIDECAR}{mark}{query}"


def has_sidecar(file: ProjectFile) -> bool:
    """Whether we can answer for a file's core metadata: upstream's, or made from a wheel."""
    return bool(file.core_metadata) or file.filename.endswith(".whl")


def with_sidecars(page: ProjectPage) -> Steps[ProjectPage]:
    """Return, in steps, the page with core metadata advertised for every wheel.

    Without a hash where upstream gave none, so that making one later changes no page.
    """
    files: list[ProjectFile] = []
    for batch in batches(page.files):
        files += [
            msgspec.structs.replace(file, core_metadata=True)
            if not file.core_metadata and has_sidecar(file)
            else file
            for file in batch
        ]
        yield
    return msgspec.structs.replace(page, files=files)
