"""Which files have core metadata behind us, and pages that say so. Pure."""

from __future__ import annotations

import msgspec

from pypicached.simple.model import ProjectFile, ProjectPage


def has_sidecar(file: ProjectFile) -> bool:
    """Whether we can answer for a file's core metadata: upstream's, or made from a wheel."""
    return bool(file.core_metadata) or file.filename.endswith(".whl")


def with_sidecars(page: ProjectPage) -> ProjectPage:
    """Return the page with core metadata advertised for every wheel.

    Without a hash where upstream gave none, so that making one later changes no page.
    """
    files = [
        msgspec.structs.replace(file, core_metadata=True)
        if not file.core_metadata and has_sidecar(file)
        else file
        for file in page.files
    ]
    return msgspec.structs.replace(page, files=files)
