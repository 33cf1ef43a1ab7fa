"""What one target needs of a lock: exactly the files that it names, if the index has the same.

Nothing is resolved. A file is the same if a digest of the lock is its digest on the page; its name
may be unknown to the lock (`Pipfile.lock`). Where the index gives no digest of that kind the name
alone decides, and a note says so.
"""

from __future__ import annotations

from collections.abc import Iterable

from packaging.markers import InvalidMarker, Marker
from packaging.specifiers import SpecifierSet

from pypicached.errors import clean
from pypicached.requirements.model import LockedFile, LockedPackage
from pypicached.simple.model import ProjectFile, ProjectPage
from pypicached.warm.bounded import read_version
from pypicached.warm.choose import Entry, best_of
from pypicached.warm.library import NoPageError, UnavailableError
from pypicached.warm.plan import Item, Problem, ProblemKind
from pypicached.warm.resolve import Resolved, where
from pypicached.warm.stock import Stock

# Of mismatches, and of lists in a sentence.
_FEW = 3


def take_locked(
    stock: Stock, packages: Iterable[LockedPackage], resolved: Resolved, *, with_sdists: bool
) -> None:
    """Add the best locked file of every package that holds for the target, or what is wrong."""
    held = [package for package in packages if _holds(package, stock, resolved)]
    for package in held:
        stock.library.expect_page(package.project)
    for package in held:
        _Lookup(stock, package, resolved).take(with_sdists=with_sdists)


def _holds(package: LockedPackage, stock: Stock, resolved: Resolved) -> bool:
    if package.marker is None:
        return True
    try:
        return stock.holds(Marker(package.marker))
    except InvalidMarker:
        reason = f"its marker is none (PEP 508): {clean(package.marker, 80)}"
        resolved.problems.append(_problem("unusable", package, reason))
        return False


def _problem(kind: ProblemKind, package: LockedPackage, reason: str) -> Problem:
    what = f"{package.project}=={package.version}" if package.version else package.project
    return Problem(kind, clean(what), reason, where(package.origin))


class _Lookup:
    """Looks one package of a lock up on its page."""

    def __init__(self, stock: Stock, package: LockedPackage, resolved: Resolved) -> None:
        self._stock = stock
        self._package = package
        self._resolved = resolved

    def take(self, *, with_sdists: bool) -> None:
        """Add its file, and its sdist with `with_sdists`; or the problem."""
        try:
            page = self._stock.library.page(self._package.project)
        except NoPageError as error:
            return self._fail(error.outcome, error.reason)
        except UnavailableError as error:
            return self._fail("failed", error.reason)
        listed = self._listed(page)
        entries = [e for f in listed if (e := self._stock.chooser.entry(f, page.name)) is not None]
        best = best_of(entries)
        if best is None:
            return self._fail(*self._why_none(page, listed))
        self._add(best)
        sdist = best_of(entry for entry in entries if not entry.is_wheel)
        if with_sdists and sdist is not None and best.is_wheel:
            self._add(sdist)
        return None

    def _fail(self, kind: ProblemKind, reason: str) -> None:
        self._resolved.problems.append(_problem(kind, self._package, reason))

    def _add(self, entry: Entry) -> None:
        project, origin = self._package.project, where(self._package.origin)
        self._resolved.items.append(Item(project, str(entry.version), entry.file, (origin,)))

    # ── the files that are meant ─────────────────────────────────────────────────────────────

    def _listed(self, page: ProjectPage) -> list[ProjectFile]:
        """Return the files of a page that the lock means."""
        if not self._package.files:  # of such a lock the version is all there is
            return self._of_version(page)
        return [
            file for file in page.files if any(self._is(one, file) for one in self._package.files)
        ]

    def _of_version(self, page: ProjectPage) -> list[ProjectFile]:
        version = read_version(self._package.version)
        if version is None:
            return []
        found = self._stock.applicable(page.name, SpecifierSet(f"=={version}"))
        return [entry.file for entry in found]

    def _is(self, locked: LockedFile, file: ProjectFile) -> bool:
        same = _same_digest(locked, file)
        if same is not None:
            return same
        if locked.filename != file.filename:
            return False
        self._resolved.notes.append(
            f"{clean(file.filename)} was taken by its name: lock and index have no digest in common"
        )
        return True

    # ── what is wrong ────────────────────────────────────────────────────────────────────────

    def _why_none(self, page: ProjectPage, listed: list[ProjectFile]) -> tuple[ProblemKind, str]:
        if wrong := self._mismatches(page):
            return "mismatch", "; ".join(wrong)
        refused = self._stock.library.refused(page.name)
        for name in (locked.filename for locked in self._package.files):
            if name is not None and name in refused:
                return "refused", f"{clean(name)}: {refused[name]}"
        if listed:
            names = ", ".join(clean(file.filename) for file in listed[:_FEW])
            return "not-found", f"no locked file is for this target ({names})"
        names = ", ".join(clean(f.filename) for f in self._package.files[:_FEW] if f.filename)
        what = f"none of its locked files ({names})" if names else "no file with a locked hash"
        return "not-found", f"the index lists {what}"

    def _mismatches(self, page: ProjectPage) -> list[str]:
        """Return a sentence for each file that is another on the index than in the lock."""
        by_name = {file.filename: file for file in page.files}
        wrong = []
        for locked in self._package.files:
            file = by_name.get(locked.filename or "")
            if file is not None and _same_digest(locked, file) is False:
                wrong.append(
                    f"{clean(file.filename)} has {_digest(locked.hashes)} in the lock "
                    f"and {_digest(file.hashes)} on the index"
                )
        return wrong[:_FEW]


def _same_digest(locked: LockedFile, file: ProjectFile) -> bool | None:
    """Tell whether digests agree; None if there is none of the same kind."""
    common = locked.hashes.keys() & file.hashes.keys()
    if not common:
        return None
    return all(locked.hashes[name].lower() == file.hashes[name].lower() for name in common)


def _digest(hashes: dict[str, str]) -> str:
    name = "sha256" if "sha256" in hashes else min(hashes)
    return clean(f"{name}:{hashes[name]}", 80)
