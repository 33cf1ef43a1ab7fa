"""`python -m tests.fake`: a small index to try things against; prints its URL, ends on SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import re
import signal
import sys
from collections.abc import Sequence

from tests.fake.upstream import FakeUpstream
from tests.fake.wheels import DistFile, make_sdist, make_wheel
from tests.fake.wire import Reply, Request

# Each demo project requires the next one, and the last one requires none.
NAMES = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa")
RECORD_PATH = "/-/requests"
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}


class StandaloneUpstream(FakeUpstream):
    """A fake index that tells its records to other processes at `/-/requests` (JSON)."""

    def _answer(self, request: Request) -> Reply:
        if request.path != RECORD_PATH:
            return super()._answer(request)
        body = json.dumps([dataclasses.asdict(seen) for seen in self.requests]).encode()
        return Reply(200, {"Content-Type": "application/json"}, body)


def parse_size(text: str) -> int:
    """Parse `20MB`, `1.5GiB` or plain bytes; raises ValueError."""
    match = re.fullmatch(r"([\d.]+)\s*([kmg]i?)?b?", text.strip().lower())
    if match is None:
        raise ValueError(f"not a size: {text}")
    return int(float(match[1]) * _UNITS[match[2] or ""])


def newest_wheel(name: str, requires: Sequence[str], size_bytes: int | None) -> DistFile:
    """Make the one file of a demo project that has `size_bytes`."""
    return make_wheel(
        name, "1.1", requires=requires, requires_python=">=3.8", size_bytes=size_bytes
    )


def publish_demo(upstream: FakeUpstream, count: int, size_bytes: int | None) -> None:
    """Publish `count` projects, each with two wheels and an sdist; the newest has `size_bytes`."""
    names = [NAMES[i] if i < len(NAMES) else f"project-{i}" for i in range(count)]
    for name, requirement in zip(names, [*names[1:], None], strict=True):
        requires = [] if requirement is None else [requirement]
        upstream.add(
            name,
            make_wheel(name, "1.0", requires=requires, requires_python=">=3.8"),
            newest_wheel(name, requires, size_bytes),
            make_sdist(name, "1.1", requires=requires, requires_python=">=3.8"),
        )


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.fake", description=__doc__)
    parser.add_argument("--projects", type=int, default=5)
    parser.add_argument("--size", type=parse_size, help="bytes of each newest wheel, e.g. 50MB")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--throttle", type=parse_size, help="per connection and second, e.g. 20MB")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--style", choices=["json", "html"], default="json")
    parser.add_argument("--api-version", default="1.4")
    return parser.parse_args(arguments)


async def serve(options: argparse.Namespace) -> None:
    """Run until SIGTERM or SIGINT."""
    upstream = StandaloneUpstream(
        port=options.port, style=options.style, api_version=options.api_version
    )
    publish_demo(upstream, options.projects, options.size)
    if options.throttle:
        upstream.fault("/packages/*", "throttle", rate=options.throttle)
    if options.delay:
        upstream.fault("*", "delay", seconds=options.delay)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with upstream:
        sys.stdout.write(upstream.url + "\n")
        sys.stdout.flush()
        await stopping.wait()


if __name__ == "__main__":
    asyncio.run(serve(parse_arguments(sys.argv[1:])))
