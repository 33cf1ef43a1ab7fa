"""The only package that talks to an index: pages, files, credentials, redirects, time-outs."""

from pypicached.upstream.connection import Connection, Limits, MayAsk
from pypicached.upstream.files import (
    FileStream,
    Part,
    RangesRefusedError,
    fetch_part,
    head_length,
    open_file,
)
from pypicached.upstream.health import Health
from pypicached.upstream.hosts import Host
from pypicached.upstream.latency import BUCKETS
from pypicached.upstream.offline import Offline
from pypicached.upstream.pages import PageAnswer, Validators, open_page, page_url
from pypicached.upstream.probing import Probing
from pypicached.upstream.proxies import Proxies, Proxy
from pypicached.upstream.retiring import Retiring
from pypicached.upstream.sessions import Reach

__all__ = [
    "BUCKETS",
    "Connection",
    "FileStream",
    "Health",
    "Host",
    "Limits",
    "MayAsk",
    "Offline",
    "PageAnswer",
    "Part",
    "Probing",
    "Proxies",
    "Proxy",
    "RangesRefusedError",
    "Reach",
    "Retiring",
    "Validators",
    "fetch_part",
    "head_length",
    "open_file",
    "open_page",
    "page_url",
]
