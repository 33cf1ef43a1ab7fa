"""How log records look: a line for people, a JSON object for machines, priorities for the journal.

Owns the root logger's one handler and nothing else. Whatever a message or a field holds, a record
is one line (text with a traceback: indented lines after it), printable, and bounded in length.
What must not be logged (credentials) is the caller's to keep out.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal, TextIO

# journald cuts at 48 KiB (LineMax=); a line for people ends well before.
_LINE_LIMIT = 8192
_MESSAGE_LIMIT = 4096
_FIELD_LIMIT = 1024
# Of a traceback the end says most.
_TRACEBACK_LIMIT = 16_384
# sd-daemon(3): syslog priorities.
_PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (logging.NOTSET, 7))
_LEVELS = {"WARNING": "WARN", "CRITICAL": "FATAL"}


def event(logger: logging.Logger, level: int, text: str, /, **fields: object) -> None:
    """Log one sentence with fields; `text` is no format string."""
    if logger.isEnabledFor(level):
        logger.log(level, "%s", text, extra={"fields": fields}, stacklevel=2)


def configure(
    format: Literal["text", "json"],  # noqa: A002 - the setting's name
    level: str,
    stream: TextIO,
    env: Mapping[str, str] = os.environ,
) -> None:
    """Send every record of `level` and above to `stream`; a second call replaces the first."""
    formatter: logging.Formatter
    formatter = JsonFormatter() if format == "json" else TextFormatter(is_journal(stream, env))
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    for old in [h for h in root.handlers if isinstance(h.formatter, _Ours)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())


def is_journal(stream: TextIO, env: Mapping[str, str] = os.environ) -> bool:
    """Tell whether `stream` leads to the journal.

    systemd.exec(5): `JOURNAL_STREAM` is device and inode of the journal's stream, to be compared,
    because the variable is inherited by programs whose output goes elsewhere.
    """
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return env.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


class _Ours(logging.Formatter):
    """What both formats share: message, fields and traceback of a record, each bounded."""

    def message_of(self, record: logging.LogRecord) -> str:
        try:
            return _shorten(record.getMessage(), _MESSAGE_LIMIT)
        except (TypeError, ValueError, KeyError):
            # A wrong format string must not lose the record, nor anything else of it.
            return _shorten(str(record.msg), _MESSAGE_LIMIT)

    def fields_of(self, record: logging.LogRecord) -> dict[str, object]:
        fields = getattr(record, "fields", None)
        return fields if isinstance(fields, dict) else {}

    def traceback_of(self, record: logging.LogRecord) -> str:
        parts = []
        if record.exc_info:
            parts.append(self.formatException(record.exc_info))
        if record.stack_info:
            parts.append(record.stack_info)
        text = "\n".join(parts)
        return text if len(text) <= _TRACEBACK_LIMIT else "…" + text[-_TRACEBACK_LIMIT:]


class TextFormatter(_Ours):
    """`2026-11-21 07:00:00 INFO  upstream pypi is failing: timed out  index=pypi request=ab12`.

    Local time, as people read it. For the journal, which has a clock of its own, each line opens
    with its priority (`<6>`, sd-daemon(3)) instead.
    """

    def __init__(self, journal: bool = False) -> None:
        super().__init__()
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and after it the lines of a traceback, indented."""
        pairs = " ".join(f"{escape(k)}={_value(v)}" for k, v in self.fields_of(record).items())
        line = escape(self.message_of(record)) + (f"  {pairs}" if pairs else "")
        traceback = self.traceback_of(record).splitlines()
        lines = [self._opening(record) + line, *(f"    {escape(part)}" for part in traceback)]
        # The journal makes a record of each line, so each carries the priority.
        mark = f"<{_priority(record.levelno)}>" if self._journal else ""
        return "\n".join(mark + _shorten(part, _LINE_LIMIT) for part in lines)

    def _opening(self, record: logging.LogRecord) -> str:
        if self._journal:
            return ""
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        return f"{at} {_LEVELS.get(record.levelname, record.levelname):<5} "


class JsonFormatter(_Ours):
    """One object per line: `time` (ISO 8601, UTC), `level`, `logger`, `event`, then the fields.

    A field that has one of these names is written with an underscore in front; `traceback` is a
    string.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return one line of ASCII JSON."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, object] = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": self.message_of(record),
        }
        if traceback := self.traceback_of(record):
            line["traceback"] = traceback
        for name, value in self.fields_of(record).items():
            line[f"_{name}" if name in line or name == "traceback" else name] = _plain(value)
        return json.dumps(line)


def escape(text: str) -> str:
    """Return `text` with everything that is not printable escaped: line ends, ESC, bidi marks."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    short = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
    code = ord(character)
    return short.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def _value(value: object) -> str:
    """Return a field's value: bare if it is one word, else in quotes."""
    text = escape(_shorten(str(value), _FIELD_LIMIT))
    if text and not any(c in text for c in ' "='):
        return text
    return '"' + text.replace('"', '\\"') + '"'


def _plain(value: object) -> object:
    """Return a value that JSON has: numbers, booleans and null as they are, the rest as text."""
    if value is None or isinstance(value, bool | int):
        return value
    # JSON has no NaN and no infinity (RFC 8259 §6).
    if isinstance(value, float) and abs(value) != float("inf") and value == value:  # noqa: PLR0124
        return value
    return _shorten(str(value), _FIELD_LIMIT)


def _priority(level: int) -> int:
    return next(priority for floor, priority in _PRIORITIES if level >= floor)


def _shorten(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
