"""Pins: a rule that holds files against eviction, and the text file that outlives the ledger."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from pypicached.cache import pins as pins_module
from pypicached.cache.pins import HEAD, Pins
from pypicached.errors import PinsError
from pypicached.requirement import Requirement, parse_requirement
from pypicached.store.disk import DiskPool
from tests.ledger.rows import file_row


@pytest.fixture
def disk() -> Iterator[DiskPool]:
    pool = DiskPool(1)
    yield pool
    pool.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pins.txt"


@pytest.fixture
def pins(path: Path, disk: DiskPool) -> Pins:
    return Pins(path, disk)


def rules(*texts: str) -> list[Requirement]:
    """Return the rules of these texts."""
    return [parse_requirement(text) for text in texts]


@pytest.mark.parametrize(
    ("filename", "kind", "held"),
    [
        ("flask-3.0-py3-none-any.whl", "file", True),
        ("flask-3.0-py3-none-any.whl.metadata", "metadata", True),
        ("Flask-3.1.tar.gz", "file", True),
        ("flask-2.0.tar.gz", "file", False),
        ("flask-2.0-py3-none-any.whl.metadata", "metadata", False),
        ("flask-nightly.tar.gz", "file", False),
    ],
)
async def test_pins__hold_by_name(pins: Pins, filename: str, kind: str, held: bool) -> None:
    """A file is held by the version in its name, and its sidecar with it."""
    await pins.add(rules("flask==3.*"))
    assert pins.holds(file_row(filename, project="flask", kind=kind)) is held
    assert not pins.holds(file_row(filename, project="flask-login", kind=kind))


async def test_pins__file(pins: Pins, path: Path, disk: DiskPool) -> None:
    """The file is a requirement a line, and another daemon reads the same rules from it."""
    assert await pins.add(rules("torch>=2,<3", "Flask")) == rules("torch>=2,<3", "flask")
    assert await pins.add(rules("flask", "numpy", "numpy")) == rules("numpy")
    assert path.read_text() == f"{HEAD}\ntorch<3,>=2\nflask\nnumpy\n"
    again = Pins(path, disk)
    await again.read()
    assert again.rules == rules("flask", "numpy", "torch>=2,<3")
    assert await again.remove(rules("FLASK", "torch", "torch<3,>=2")) == rules(
        "flask", "torch>=2,<3"
    )
    assert path.read_text() == f"{HEAD}\nnumpy\n"


async def test_pins__edited_by_hand(pins: Pins, path: Path) -> None:
    """Comments, odd lines and what was written meanwhile survive a change; bad lines are said."""
    await pins.add(rules("flask"))
    hand = b"# ours\n\nflask==3.*  # for the\trelease\nflask[async]\n\xff\xfe\x00\nnumpy"
    path.write_bytes(hand)
    assert await pins.add(rules("torch")) == rules("torch")
    assert path.read_bytes() == hand + b"\ntorch\n"
    assert pins.rules == rules("flask==3.*", "numpy", "torch")
    first, second = pins.problems
    assert first.startswith(f'line 4 of {path} pins nothing: "flask[async]" has extras')
    assert second.startswith(f"line 5 of {path} pins nothing: ")
    assert (first + second).isprintable()
    await pins.remove(rules("flask==3.*"))
    assert (
        path.read_bytes() == hand.replace(b"flask==3.*  # for the\trelease\n", b"") + b"\ntorch\n"
    )


async def test_pins__garbage(pins: Pins, path: Path) -> None:
    """However many lines are bad, `status` has a few sentences."""
    path.write_bytes(bytes(range(128, 256)) * 100 + b"\n?" * 100)
    await pins.read()
    assert pins.rules == []
    assert len(pins.problems) == pins_module.MAX_TOLD + 1


async def test_pins__unreadable(pins: Pins, path: Path) -> None:
    """While nobody can read what is pinned everything is held, and nothing is written over."""
    await pins.add(rules("flask"))
    row = file_row("numpy-1.0.tar.gz", project="numpy")
    assert not pins.hold_any([row])
    held = path.read_bytes()
    path.unlink()
    path.mkdir()
    await pins.read()
    assert pins.hold_any([row])
    assert pins.hold_any([])
    assert pins.hold_page("numpy")
    (problem,) = pins.problems
    assert "nothing is evicted or pruned" in problem
    for change in (pins.add, pins.remove):
        with pytest.raises(PinsError, match="Is a directory"):
            await change(rules("flask"))
    path.rmdir()
    path.write_bytes(held)
    await pins.read()
    assert (pins.problems, pins.hold_any([row]), pins.rules) == ([], False, rules("flask"))


async def test_pins__too_large(pins: Pins, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that cannot be ours is not read whole, and holds everything."""
    monkeypatch.setattr(pins_module, "MAX_BYTES", 10)
    path.write_text("flask\n" * 2)
    await pins.read()
    assert "File too large" in pins.problems[0]
    assert pins.hold_page("anything")


async def test_pins__vanished(pins: Pins, path: Path) -> None:
    """A file that is removed under a running daemon costs no pin: the next change writes all."""
    await pins.add(rules("flask"))
    path.unlink()
    await pins.read()
    assert pins.rules == rules("flask")
    await pins.add(rules("numpy"))
    assert path.read_text().splitlines()[1:] == ["flask", "numpy"]


async def test_pins__refused_write(pins: Pins, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that refuses leaves file and rules as they were, and no half-written one beside it."""
    await pins.add(rules("flask"))
    before = path.read_bytes()

    def refuse(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(PinsError, match="No space left"):
            await pins.add(rules("numpy"))
        with pytest.raises(PinsError, match="No space left"):
            await pins.remove(rules("flask"))
    assert (path.read_bytes(), pins.rules) == (before, rules("flask"))
    assert list(path.parent.iterdir()) == [path]


async def test_pins__one_name_is_enough(pins: Pins) -> None:
    """A blob is held if any of its names is."""
    await pins.add(rules("flask"))
    one = file_row("flask-1.0.tar.gz", project="flask")
    other = msgspec.structs.replace(one, project="copy", filename="copy-1.0.tar.gz")
    assert pins.hold_any([other, one])
    assert not pins.hold_any([other])


async def test_pins__revision(pins: Pins, path: Path) -> None:
    """The revision grows when a pin goes, and by nothing else: what was held still is."""
    await pins.add(rules("flask", "numpy"))
    before = pins.revision
    await pins.add(rules("torch"))
    await pins.read()
    assert pins.revision == before
    await pins.remove(rules("torch"))
    assert pins.revision == before + 1
    path.write_text("flask\n")
    await pins.read()
    assert pins.revision == before + 2
    path.unlink()
    path.mkdir()
    await pins.read()
    assert pins.revision == before + 2
    path.rmdir()
    await pins.read()
    assert pins.revision == before + 3
