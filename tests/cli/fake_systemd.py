"""systemd as commands ask it: a program of that name on PATH, which says what a test tells it."""

from __future__ import annotations

import shlex
from pathlib import Path


class FakeSystemd:
    """`systemctl show UNIT` in `directory`; `path` belongs into PATH."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "bin"
        self._units = directory / "units"
        self._units.mkdir()
        self.path.mkdir()
        program = self.path / "systemctl"
        units = shlex.quote(str(self._units))
        program.write_text(f'#!/bin/sh\nfor unit; do :; done\ncat {units}/"$unit"\n')
        program.chmod(0o755)

    def tell(self, unit: str, properties: str) -> None:
        """Let systemd say this of a unit."""
        (self._units / unit).write_text(properties)
