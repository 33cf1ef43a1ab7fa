"""README.md's way to a host with the cache, word by word."""

from __future__ import annotations

import re
from pathlib import Path

from tests.deb.configuring import configure
from tests.deb.index import Index
from tests.deb.layers import Layers
from tests.deb.packages import HERE
from tests.fake.wheels import make_wheel

_README = Path(__file__).parents[2] / "README.md"
_SECTION = "## Install on a host\n"


def commands() -> list[str]:
    """Return the command lines of the section, in order, without comments."""
    text = _README.read_text().partition(_SECTION)[2].partition("\n## ")[0]
    blocks = re.findall(r"^```\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    lines = [line.partition(" #")[0].strip() for block in blocks for line in block.splitlines()]
    # That one is for a checkout.
    return [line for line in lines if not line.startswith("make ")]


def test_readme__word_by_word(layers: Layers) -> None:
    """Every command works in its order; after `enable` plain pip goes through the cache."""
    installing, *after, unpointing, removing, purging = commands()
    assert installing.startswith("apt install")
    with layers.booted(layers.tools) as machine, Index(machine) as index:
        index.add("six", make_wheel("six", "1.16.0"))
        machine.shell(f"cd {HERE} && {installing}")
        configure(machine, index)
        for line in after:
            machine.shell(line.replace("NAME", "builder"))
        pip = "python3 -m venv ~/env && ~/env/bin/pip install six && pypicached status"
        assert "local" in machine.shell(pip, user="builder")
        assert index.count("*/six-*.whl") == 1
        assert machine.exists("/etc/uv/uv.toml")
        machine.shell(unpointing)
        assert not machine.exists("/etc/pip.conf")
        machine.shell(removing)
        assert machine.exists("/etc/pypicached/pypicached.toml")
        machine.shell(purging)
        assert not machine.exists("/etc/pypicached")
