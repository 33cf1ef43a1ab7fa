"""Log records: one printable, bounded line each, for people, machines and the journal."""

from __future__ import annotations

import io
import json
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pypicached.logs import TextFormatter, configure, event

logger = logging.getLogger("pypicached.test")


@pytest.fixture(autouse=True)
def _restore_root() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def text_lines(**fields: object) -> list[str]:
    """Return the lines of one text record."""
    stream = io.StringIO()
    configure("text", "info", stream)
    event(logger, logging.INFO, "upstream pypi is failing: timed out", **fields)
    return stream.getvalue().splitlines()


def json_line(stream: io.StringIO) -> dict[str, object]:
    """Return the one JSON record in `stream`."""
    (line,) = stream.getvalue().splitlines()
    record = json.loads(line)
    assert isinstance(record, dict)
    return record


def fail() -> None:
    """Raise an error whose text tries to break lines."""
    raise RuntimeError("bad\nworse")


def test_text__line() -> None:
    """Time, level, sentence, then the fields as pairs."""
    (line,) = text_lines(index="pypi", request="ab12", n=3)
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d INFO  upstream pypi is failing: timed out"
        r"  index=pypi request=ab12 n=3",
        line,
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a b", 'x="a b"'),
        ("", 'x=""'),
        ("a=b", 'x="a=b"'),
        ('say "hi" ', 'x="say \\"hi\\" "'),
        ("a\nERROR b", 'x="a\\nERROR b"'),
        ("\x1b[31m", "x=\\x1b[31m"),
        ("a\u2028b\u202e", "x=a\\u2028b\\u202e"),
    ],
)
def test_text__fields_cannot_break_lines(value: str, shown: str) -> None:
    """Control characters, line separators and bidi marks are escaped; spaces put in quotes."""
    (line,) = text_lines(x=value)
    assert line.endswith(f"  {shown}")


def test_text__message_cannot_break_lines() -> None:
    """A message with a line end stays on one line."""
    stream = io.StringIO()
    configure("text", "info", stream)
    logger.warning("one\r\ntwo %s", "\x00")
    assert stream.getvalue().endswith(" WARN  one\\r\\ntwo \\x00\n")
    assert stream.getvalue().count("\n") == 1


def test_text__traceback_is_indented() -> None:
    """The lines of a traceback follow their record, indented."""
    stream = io.StringIO()
    configure("text", "info", stream)
    try:
        fail()
    except RuntimeError:
        logger.exception("it broke")
    first, *rest = stream.getvalue().splitlines()
    assert first.endswith("ERROR it broke")
    assert rest[0] == "    Traceback (most recent call last):"
    assert [line for line in rest if not line.startswith("    ")] == []


@pytest.mark.parametrize("form", ["text", "json"])
def test_record__bounded(form: str) -> None:
    """However long message and fields are, a line is not."""
    stream = io.StringIO()
    configure("json" if form == "json" else "text", "info", stream)
    event(logger, logging.INFO, "m" * 100_000, x="y" * 100_000)
    assert len(stream.getvalue()) < 10_000
    assert "…" in stream.getvalue() or "\\u2026" in stream.getvalue()


def test_json__line() -> None:
    """One object: time in UTC, level, logger, event, fields with their JSON types."""
    stream = io.StringIO()
    configure("json", "info", stream)
    event(logger, logging.WARNING, "a\nb %s", size=5, ok=True, none=None, p=Path("/x"), r=0.5)
    record = json_line(stream)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(record.pop("time")))
    assert record == {
        "level": "warning",
        "logger": "pypicached.test",
        "event": "a\nb %s",
        "size": 5,
        "ok": True,
        "none": None,
        "p": "/x",
        "r": 0.5,
    }


def test_json__traceback_is_a_member() -> None:
    """A traceback is a string of the one record."""
    stream = io.StringIO()
    configure("json", "info", stream)
    try:
        fail()
    except RuntimeError:
        logger.exception("it broke")
    assert "RuntimeError: bad\nworse" in str(json_line(stream)["traceback"])


def test_json__fields_do_not_replace_members() -> None:
    """A field called like one of the record's own members gets an underscore; NaN is text."""
    stream = io.StringIO()
    configure("json", "info", stream)
    event(logger, logging.INFO, "x", event="mine", level="mine", odd=float("nan"))
    record = json_line(stream)
    assert (record["event"], record["_event"], record["_level"]) == ("x", "mine", "mine")
    assert record["odd"] == "nan"


def test_journal__priorities(tmp_path: Path) -> None:
    """Towards the journal each line opens with its priority, and has no time."""
    with (tmp_path / "journal").open("w+") as stream:
        status = os.fstat(stream.fileno())
        env = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        configure("text", "debug", stream, env)
        for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
            event(logger, level, "x", n=1)
        try:
            fail()
        except RuntimeError:
            logger.exception("broke")
        stream.seek(0)
        lines = stream.read().splitlines()
    assert lines[:5] == ["<7>x  n=1", "<6>x  n=1", "<4>x  n=1", "<3>x  n=1", "<3>broke"]
    assert [line for line in lines[5:] if not line.startswith("<3>    ")] == []


def test_journal__output_elsewhere(tmp_path: Path) -> None:
    """JOURNAL_STREAM of another stream (inherited, then redirected) changes nothing."""
    with (tmp_path / "log").open("w+") as stream:
        configure("text", "info", stream, {"JOURNAL_STREAM": "1:2"})
        event(logger, logging.INFO, "x")
        stream.seek(0)
        assert stream.read().startswith("20")


def test_configure__again_replaces() -> None:
    """A reload changes format, level and stream instead of adding a second output."""
    first, second = io.StringIO(), io.StringIO()
    configure("text", "info", first)
    configure("json", "warning", second)
    event(logger, logging.INFO, "quiet")
    event(logger, logging.WARNING, "loud")
    assert first.getvalue() == ""
    assert json_line(second)["event"] == "loud"


def test_record__wrong_format_string() -> None:
    """A message that does not fit its arguments is logged as it is, not lost."""
    record = logging.LogRecord("x", logging.INFO, "x.py", 1, "%d of", ("x",), None)
    assert TextFormatter().format(record).endswith("INFO  %d of")
