"""The manual pages: complete, without a warning of groff, and the same at each build."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer

from pypicached.cli.app import app
from pypicached.settings.schema import INDEX_KEYS, known_keys
from tests.manual.conftest import write_manual

PAGES = ("pypicached.1", "pypicached.toml.5")


def _commands(command: Any, path: str) -> list[tuple[str, Any]]:
    below = getattr(command, "commands", {})
    found = [(path, command)] if not below else []
    return found + [pair for name, c in below.items() for pair in _commands(c, f"{path} {name}")]


def _sections(page: Path, macro: str) -> dict[str, str]:
    """Return heading → text, without fonts and escapes."""
    text = re.sub(r"\\f[BIR]", "", page.read_text()).replace(r"\-", "-").replace(r"\~", " ")
    parts = re.split(rf'^\.{macro} "(.*)"$', text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_manual__every_command_and_option(manual: Path) -> None:
    """Every command has its part of pypicached(1), with a usage line that has all its options."""
    parts = _sections(manual / "pypicached.1", "SS")
    commands = _commands(typer.main.get_command(app), "pypicached")
    assert {path.removeprefix("pypicached ") for path, _ in commands} <= parts.keys()
    for path, command in commands:
        part = parts[path.removeprefix("pypicached ")]
        usage = part.partition(f'.SY "{path}"')[2].partition(".YS")[0]
        options = [p for p in command.params if p.param_type_name == "option"]
        for option in options:
            assert f"[{max(option.opts, key=len)}" in usage, (path, option.opts)
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        assert len(usage.split("\n")) == 1 + 1 + len(options) + len(arguments), usage


def test_manual__every_option_explained(manual: Path) -> None:
    """What `--help` says of an option stands in pypicached(1), in one place at least."""
    text = re.sub(r"\\f[BIR]", "", (manual / "pypicached.1").read_text())
    text = text.replace(r"\-", "-").replace(r"\(aq", "'").replace("\\&", "")
    for path, command in _commands(typer.main.get_command(app), "pypicached"):
        for option in command.params:
            if option.help:
                assert option.help.replace("`", "") in text, (path, option.name)


def test_manual__every_setting(manual: Path) -> None:
    """Every setting stands in its section of pypicached.toml(5), an index's own ones too."""
    parts = _sections(manual / "pypicached.toml.5", "SS")
    keys = known_keys() + [f"index.{name}" for name in INDEX_KEYS]
    for section, _, name in (dotted.rpartition(".") for dotted in keys):
        part = parts["[[index]]" if section == "index" else f"[{section}]"]
        assert re.search(rf"^\.TP\n{name} \(", part, re.MULTILINE), (section, name)


def test_manual__reproducible(manual: Path, tmp_path: Path) -> None:
    """Another build has the same bytes; its date is that of the source, or none."""
    again = write_manual(tmp_path / "again", PYTHONHASHSEED="77", TZ="Asia/Tokyo")
    files = sorted(path.name for path in manual.iterdir())
    assert files == ["_pypicached", "pypicached.1", "pypicached.bash", "pypicached.fish", PAGES[1]]
    assert [(again / f).read_bytes() for f in files] == [(manual / f).read_bytes() for f in files]
    dated = write_manual(tmp_path / "dated", SOURCE_DATE_EPOCH="86400", TZ="Asia/Tokyo")
    assert '"1970-01-02"' in (dated / "pypicached.1").read_text()
    assert '"1970' not in (manual / "pypicached.1").read_text()


@pytest.mark.skipif(not shutil.which("man"), reason="man is not installed")
@pytest.mark.parametrize("name", PAGES)
def test_manual__no_warning_of_groff(manual: Path, name: str) -> None:
    """groff has nothing to say of a page, asked as lintian asks it."""
    line = ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", str(manual / name)]
    env = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "MANROFFSEQ": "", "MANWIDTH": "80"}
    done = subprocess.run(line, env=env, capture_output=True, text=True, check=True, timeout=20)
    assert done.stderr == ""
    assert "pypicached" in done.stdout
