"""What the soak's index publishes, how it misbehaves, and what each answer must be."""

from __future__ import annotations

import random
from typing import Any

from tests.fake import DistFile, make_sdist, make_wheel
from tests.fake.threaded import ThreadedFakeUpstream

PROJECTS = 24
LARGEST_BYTES = 2_000_000
# Much less than is published, so that something is evicted all the time.
MAX_SIZE_BYTES = 8_000_000
# (pattern, kind, arguments): what is survived by a retry, a resume or a plain 502.
FAULTS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("*.whl", "reset_after", {"n": 20_000}),
    ("*.whl", "close_after", {"n": 100_000}),
    ("*.whl", "wrong_bytes", {}),
    ("*.whl", "no_length", {}),
    ("*.whl", "ignore_range", {}),
    ("*.metadata", "status", {"code": 404}),
    ("*.tar.gz", "status", {"code": 503}),
    ("*.tar.gz", "short", {}),
    ("/simple/*", "status", {"code": 500}),
    ("/simple/*", "delay", {"seconds": 0.05}),
    ("/simple/*", "reset", {}),
)


class World:
    """Projects and their files, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        source = random.Random(seed)
        self.files: dict[str, DistFile] = {}
        self.projects: dict[str, list[DistFile]] = {}
        for number in range(PROJECTS):
            name = f"p{number}"
            files = [
                make_wheel(name, f"{major}.0", size_bytes=_size(source))
                for major in range(1, source.randint(2, 5))
            ]
            # Every third project has a file of another one, so that blobs have several names.
            if number % 3 == 2:
                files.append(self.projects[f"p{number - 1}"][0])
            self.projects[name] = [*files, make_sdist(name)]
            self.files |= {file.filename: file for file in self.projects[name]}

    def publish(self, upstream: ThreadedFakeUpstream) -> None:
        """Put all of it on an index."""
        for name, files in self.projects.items():
            upstream.add(name, *files)

    def body_of(self, filename: str) -> bytes:
        """Return the bytes of a file, or of the sidecar of one."""
        stem = filename.removesuffix(".metadata")
        file = self.files[stem]
        return file.body if stem == filename else file.metadata or b""


def _size(source: random.Random) -> int:
    """Return a size, small ones more often than large ones."""
    return int(LARGEST_BYTES ** source.uniform(0.55, 1.0))


def misbehave(upstream: ThreadedFakeUpstream, source: random.Random) -> None:
    """Let the next few requests go wrong, and all files come at some pace."""
    upstream.heal()
    upstream.dialect.sidecars = source.choice(["hash", "plain", "off"])
    upstream.fault("*.whl", "throttle", rate=source.choice([4_000_000, 40_000_000]))
    for pattern, kind, arguments in source.sample(FAULTS, 5):
        upstream.fault(pattern, kind, source.randint(1, 3), **arguments)
