"""The command lines of README.Debian and README.md: people copy them into a shell as they stand."""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
from collections.abc import Iterator
from typing import Any

import pypicached_client
import pytest
import typer
import wheels

from pypicached.cli.app import app

_DEBIAN = wheels.ROOT / "packaging/debian/pypicached.README.Debian"
_README = wheels.ROOT / "README.md"
_MAKEFILE = (wheels.ROOT / "Makefile").read_text()
_BOTH = pytest.mark.parametrize("name", ["README.Debian", "README.md"])
# Between simple commands.
_OPERATORS = {"&&", "||", "|", ";", "(", ")"}
_OTHERS = {
    *("apt", "bash", "caddy", "cat", "cd", "chgrp", "cp", "curl", "editor", "grep", "install"),
    *("journalctl", "mkdir", "nginx", "pip", "pipx", "rm", "rsync", "runuser", "sed", "set", "ss"),
    *("systemd-sysusers", "systemd-tmpfiles", "usermod", "uv", "python", "."),
}


def _blocks(name: str) -> list[str]:
    """Return the blocks of commands; what goes into files is none."""
    if name == "README.md":
        fenced = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
        return [block for language, block in fenced.findall(_README.read_text()) if not language]
    blocks, is_inside, continues = [""], False, False
    for line in _DEBIAN.read_text().splitlines():
        # Four spaces are a command; eight are a file's line, unless a command goes on there.
        if continues or re.match(r" {4}\S| {20,}# ", line):
            blocks[-1] += f"{line}\n"
            is_inside, continues = True, line.endswith("\\")
        elif is_inside:
            blocks.append("")
            is_inside = False
    return [block for block in blocks if block]


def _commands(name: str) -> Iterator[list[str]]:
    """Yield the words of each simple command, without the variables before them."""
    for block in _blocks(name):
        for line in block.replace("\\\n", " ").splitlines():
            lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
            lexer.whitespace_split = True
            found: list[str] = []
            for word in [*lexer, ";"]:
                if word not in _OPERATORS:
                    found.append(word)
                elif found:
                    yield _bare(found)
                    found = []


def _bare(words: list[str]) -> list[str]:
    while re.match(r"[A-Z_]+=", words[0]):
        words = words[1:]
    # A redirection takes its file along.
    return words[: next((at for at, word in enumerate(words) if word[0] == ">"), None)]


@_BOTH
def test_commands__are_shell(name: str) -> None:
    """A shell can read every block."""
    blocks = _blocks(name)
    assert len(blocks) > 10
    for block in blocks:
        line = ["/bin/bash", "-n", "-c", block]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), block


@_BOTH
def test_commands__remarks_are_comments(name: str) -> None:
    """What stands in a second column is a comment."""
    lines = [line.strip() for block in _blocks(name) for line in block.splitlines()]
    assert [line for line in lines if re.search(r"\S {2,}(?!#)\S", line)] == []


@_BOTH
def test_commands__exist(name: str) -> None:
    """Our commands take what stands there; the others are known, and so are targets and units."""
    ours = 0
    for words in _commands(name):
        program = words[0].rpartition("/bin/")[2]
        match program:
            case "pypicached":
                _parse(typer.main.get_command(app), None, words[1:])
                ours += 1
            case "pypicached-client":
                assert isinstance(
                    pypicached_client.build_parser().parse_args(words[1:]), argparse.Namespace
                )
                ours += 1
            case "make":
                assert f"\n{words[1]}:" in _MAKEFILE
            case "systemctl":
                assert _are_units(words[2:]), words
            case _:
                assert program in _OTHERS, words
    assert ours > 10


def _parse(command: Any, above: Any, words: list[str]) -> None:
    """Take words as the command line does; click.UsageError."""
    context = command.make_context(command.name, list(words), parent=above)
    if hasattr(command, "commands"):
        name, *rest = words
        _parse(command.commands[name], context, rest)


def _are_units(words: list[str]) -> bool:
    units = {path.name for path in (wheels.ROOT / "systemd").iterdir()}
    return all(
        word in units or f"{word}.service" in units or word in {"nginx", "caddy", "--now"}
        for word in words
    )


def test_debian__no_bare_restart() -> None:
    """A service that a typing error keeps from starting lets every build wait: first a check."""
    commands = list(_commands("README.Debian"))
    restarts = [at for at, words in enumerate(commands) if words[:2] == ["systemctl", "restart"]]
    assert restarts
    assert all(commands[at - 1] == ["pypicached", "config", "check"] for at in restarts)
