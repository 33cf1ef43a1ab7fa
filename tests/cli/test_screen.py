"""How answers look on a terminal, and progress on the way."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from rich.console import Console, RenderableType

from pypicached.cli.progress import ProgressDisplay
from pypicached.cli.status_lines import amount_text, build_lines, rate_text
from pypicached.cli.status_screen import build_screen
from pypicached.cli.terminal import (
    Cell,
    Column,
    Moment,
    Size,
    age,
    build_table,
    duration,
    for_eyes,
    plain_lines,
)
from pypicached.messages import DiskStatus, Progress
from tests.control.daemon import STATUS, USED_AT

_NOW = datetime.fromisoformat(USED_AT) + timedelta(hours=3, minutes=20)


def _text(renderable: RenderableType, width: int = 80) -> str:
    file = io.StringIO()
    Console(file=file, width=width, markup=False, highlight=False).print(renderable)
    return file.getvalue()


def test_screen__everything() -> None:
    """One screen tells all that the contract names, with ages, and problems last."""
    screen = _text(build_screen(STATUS, _NOW))
    for part in (
        "pypicached 0.1.0  up 3 d 4 h  pid 4711",
        "127.0.0.1:4444",
        "93.1 % in the last 24 h",
        "8 GiB of 20 GiB (40 %)",
        "55 GiB free on /var/cache/pypicached",
        "12 files, 3 pages, ledger 1 MiB",
        "failing since 3 h",
        "refused",
        "1 GiB of 2 GiB (50 %)  3 readers",
        "3 h ago  acme/numpy  timed out",
    ):
        assert part in screen
    assert screen.rstrip().endswith("Problems (1)\n  - index acme: failing since Friday")


def test_screen__quiet_daemon() -> None:
    """What there is nothing of takes no room; an unlimited cache has no bar."""
    disk = DiskStatus(1024, None, 2048)
    quiet = msgspec.structs.replace(
        STATUS, downloads=[], failures=[], problems=[], disk=disk, hit_rate_24h=None, offline=True
    )
    screen = _text(build_screen(quiet, _NOW))
    assert "Downloading" not in screen
    assert "failures" not in screen
    assert "━" not in screen
    assert "nothing was asked" in screen
    assert "OFFLINE" in screen
    assert screen.rstrip().endswith("No problems")


def test_screen__foreign_text() -> None:
    """Markup and escape sequences in a name are shown, not obeyed."""
    bad = msgspec.structs.replace(STATUS, problems=["\x1b[2J[red]x[/red]"])
    assert "- ?[2J[red]x[/red]" in _text(build_screen(bad, _NOW))
    assert build_lines(bad)[-1] == "problem: ?[2J[red]x[/red]"


def test_table__long_names() -> None:
    """A long name is folded, never cut; figures stay whole."""
    rows: list[list[Cell]] = [["x" * 100, Size(1536), Moment(USED_AT), 1234]]
    columns = [Column("a", "A"), *(Column("b", "B", right=True) for _ in range(3))]
    text = _text(build_table(columns, rows, _NOW), width=60)
    assert text.count("x") == 100
    for figure in ("1.5 KiB", "3 h ago", "1,234"):
        assert figure in text


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (USED_AT, "3 h ago"),
        ("2026-01-02T06:24:00+00:00", "5 s ago"),
        ("2026-01-02T06:24:05Z", "just now"),
        ("2027-01-01T00:00:00Z", "just now"),
        ("2026-01-01T06:24:05", "1 d ago"),
        ("never\x1b", "never?"),
    ],
)
def test_age(moment: str, text: str) -> None:
    """The largest unit only; what is no moment is shown as it is."""
    assert age(moment, _NOW) == text


def test_duration__units_apart() -> None:
    """The two largest units, without fractions."""
    assert [duration(s) for s in (0.4, 61.9, 90_061)] == ["0 s", "1 m 1 s", "1 d 1 h"]


def test_amounts() -> None:
    """A whole that is unknown or nothing has no percentage."""
    assert [amount_text(512, None), amount_text(512, 0), amount_text(512, 1024)] == [
        "512 B",
        "512 B of 0 B",
        "512 B of 1 KiB (50 %)",
    ]
    assert [rate_text(0.0), rate_text(1.0)] == ["0.0 %", "100.0 %"]


def test_for_eyes__foreign_text() -> None:
    """A cell cannot carry control characters."""
    assert for_eyes("a\tb\x9b", datetime.now(UTC)) == "a?b?"


def test_progress__patience(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing for a second, then a line every ten where there is no terminal."""
    clock = iter([0.0, 0.5, 1.5, 1.5, 5.0, 11.6, 11.6])
    with ProgressDisplay("pruning", now=lambda: next(clock)) as display:
        for done in (1, 2, 3, 4):
            display.show(Progress(done * 1000, 5000 if done > 2 else None, "blobs"))
    assert capsys.readouterr().err.splitlines() == [
        "pypicached: pruning: 2,000 blobs",
        "pypicached: pruning: 4,000 of 5,000 blobs",
    ]


def test_progress__bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal gets a bar on standard error, and it is gone at the end."""
    stderr = _Terminal()
    monkeypatch.setattr("sys.stderr", stderr)
    monkeypatch.setenv("TERM", "xterm")
    clock = iter([0.0, 1.5])
    with ProgressDisplay("pruning", now=lambda: next(clock)) as display:
        display.show(Progress(2, 8, "[red]blobs"))
        display.show(Progress(4, 8, "blobs"))
    written = stderr.getvalue()
    assert "4/8" in written
    # The last thing is to show the cursor after erasing the line.
    assert written.endswith("\x1b[2K")


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_plain_lines__columns_as_wide_as_their_cells() -> None:
    """A table that is too long to be ruled keeps its columns, and cuts nothing."""
    columns = (Column("project", "Project"), Column("size_bytes", "Size", right=True))
    rows: list[tuple[Cell, Cell]] = [("a", Size(1536)), ("a\x1b-long-name", Size(1))]
    lines = list(plain_lines(columns, rows, _NOW))
    assert lines == [
        "Project          Size\n",
        "a             1.5 KiB\n",
        "a?-long-name      1 B\n",
    ]
