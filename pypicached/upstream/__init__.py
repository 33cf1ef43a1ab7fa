"""The only package that talks to an index: pages, files, credentials, redirects, time-outs."""

from pypicached.upstream.connection import Connection, Limits
from pypicached.upstream.files import (
    FileStream,
    Part,
    RangesRefusedError,
    fetch_part,
    head_length,
    open_file,
)
from pypicached.upstream.health import Health
from pypicached.upstream.pages import PageAnswer, Validators, open_page

__all__ = [
    "Connection",
    "FileStream",
    "Health",
    "Limits",
    "PageAnswer",
    "Part",
    "RangesRefusedError",
    "Validators",
    "fetch_part",
    "head_length",
    "open_file",
    "open_page",
]
