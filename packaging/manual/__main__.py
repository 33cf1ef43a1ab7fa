"""Write the manual pages and the shell completions of `pypicached` into a directory.

    python packaging/manual OUTDIR

with an interpreter that can import `pypicached` (a checkout's `.venv/bin/python`, or a package's
private one; `-I` is fine). It makes OUTDIR if need be and writes into it:

    pypicached.1         manual page of the command       /usr/share/man/man1/
    pypicached.toml.5    manual page of the settings      /usr/share/man/man5/
    pypicached.bash      completion for bash   /usr/share/bash-completion/completions/pypicached
    _pypicached          completion for zsh    /usr/share/zsh/vendor-completions/_pypicached
    pypicached.fish      completion for fish   /usr/share/fish/vendor_completions.d/pypicached.fish

The same program gives the same bytes, whenever and wherever it runs. The pages bear the date of
SOURCE_DATE_EPOCH if that is set, else none. It asks no daemon and reads no configuration.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import bash
import command_page
import fish
import settings_page
import zsh
from roff import Title
from tree import read_tree

from pypicached import __version__


def _title(name: str, section: int, manual: str) -> Title:
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    date = datetime.fromtimestamp(int(epoch), UTC).date().isoformat() if epoch else ""
    return Title(name, section, date, f"pypicached {__version__}", manual)


def main(arguments: list[str]) -> None:
    """Write all files; exits with 2 and a line for anything but one directory."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        sys.exit("usage: python packaging/manual OUTDIR")
    directory = Path(arguments[0])
    program = read_tree()
    files = {
        "pypicached.1": command_page.build(program, _title("pypicached", 1, "User Commands")),
        "pypicached.toml.5": settings_page.build(_title("pypicached.toml", 5, "File Formats")),
        "pypicached.bash": bash.build(program),
        "_pypicached": zsh.build(program),
        "pypicached.fish": fish.build(program),
    }
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (directory / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
