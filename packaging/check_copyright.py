"""Compare debian/copyright with the wheels that travel in the package.

`check_copyright.py COPYRIGHT WHEELS` is called by debian/rules, and fails the build: if a wheel has
no stanza, a stanza no wheel, or a wheel says that it is under a licence its stanza does not name.
Licences of parts (a C library that is compiled in) no wheel tells: whoever adds one has to look.
"""

from __future__ import annotations

import email
import fnmatch
import re
import sys
import zipfile
from email.message import Message
from pathlib import Path
from typing import Final

FOLDER: Final = "wheels/"
# What wheels call licences, in whatever field → what Debian calls them.
_NAMES: Final = {
    r"Apache(?:-| Software License| )(?:2\.0)?": "Apache-2.0",
    r"BSD-2-Clause": "BSD-2-clause",
    # As a classifier it names no kind; those of ours are of this one.
    r"BSD-3-Clause|BSD License": "BSD-3-clause",
    r"MIT": "Expat",
    r"ISC": "ISC",
    r"PSF-2\.0": "PSF-2.0",
}

# Texts in the place of a licence that name none; classifiers do then.
_SAY_NOTHING: Final = frozenset({"Dual License"})


def read_stanzas(copyright_text: str) -> dict[str, str]:
    """Return the licence of each pattern below wheels/, without that folder."""
    found = {}
    for stanza in re.split(r"\n\s*\n", copyright_text):
        fields = email.message_from_string(stanza)
        for pattern in fields.get("Files", "").split():
            if pattern.startswith(FOLDER):
                found[pattern.removeprefix(FOLDER)] = fields.get("License", "")
    return found


def find_problems(copyright_text: str, declared: dict[str, str]) -> list[str]:
    """Compare with what wheels declare, by the file's name; one sentence for each problem."""
    stanzas = read_stanzas(copyright_text)
    unused = set(stanzas)
    problems = []
    for wheel, text in sorted(declared.items()):
        patterns = [pattern for pattern in stanzas if fnmatch.fnmatch(wheel, pattern)]
        unused.difference_update(patterns)
        if len(patterns) != 1:
            problems.append(f"{wheel} has {len(patterns)} stanzas")
            continue
        names = debian_names(text)
        if not names:
            problems.append(f"{wheel} is under a licence that nobody has looked at: {text!r}")
        for name in sorted(names):
            if not re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w.-])", stanzas[patterns[0]]):
                problems.append(f"{wheel} is under {name}; its stanza says {stanzas[patterns[0]]}")
    return problems + [f"no wheel is {FOLDER}{pattern}" for pattern in sorted(unused)]


def debian_names(text: str) -> set[str]:
    """Return Debian's names of the licences in what a wheel declares."""
    return {name for pattern, name in _NAMES.items() if re.search(pattern, text)}


def declared_licence(metadata: Message) -> str:
    """Return the best that core metadata says: the expression, else the text, else classifiers."""
    for field in ("License-Expression", "License"):
        if metadata[field] and metadata[field] not in _SAY_NOTHING:
            return str(metadata[field])
    classifiers: list[str] = metadata.get_all("Classifier", [])
    return "; ".join(text for text in classifiers if text.startswith("License ::"))


def read_metadata(wheel: Path) -> Message:
    """Return the core metadata of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [n for n in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", n)]
        return email.message_from_bytes(archive.read(name))


if __name__ == "__main__":
    found = find_problems(
        Path(sys.argv[1]).read_text(encoding="utf-8"),
        {path.name: declared_licence(read_metadata(path)) for path in Path(sys.argv[2]).iterdir()},
    )
    sys.exit("\n".join(f"debian/copyright: {problem}" for problem in found) or None)
