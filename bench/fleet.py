"""What a fleet asks of PyPI, and of a bucket: a simulation of a day, in figures to compare.

Hosts build; a build asks for some projects' pages and for the file that is the latest on each. The
same builds are run against four set-ups: no cache, a cache on each host, these behind one parent,
and these with a shared bucket (`proxy`, or `redirect` for what is larger than 64 KiB). What a cache
does is modelled as the daemon does it: pages are asked for again after `page_ttl`, with a 304 where
nothing changed, and served stale in an outage; a file is looked for on the disk, then in the
bucket, then upstream; what came from upstream is put into the bucket after a HEAD, in parts of
8 MiB where it is larger; an object's time is renewed at most daily by each host that uses it.

Not modelled: disks that fill up, two requests that meet in the same second, builds that retry, and
that a release is asked for by more hosts than others.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import random
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

REPOSITORY = Path(__file__).resolve().parent.parent
HOUR, DAY = 3600.0, 86400.0
PAGE_TTL_SECONDS = 600.0
SMALL_BYTES = 64 * 1024
PART_BYTES = 8 * 1024 * 1024
PAGE_BYTES, SIDECAR_BYTES = 30_000, 3_000
SETUPS = ("none", "hosts", "chain", "bucket", "redirect")
# List prices of a large provider's standard class in US dollars, as of writing: per 1,000
# requests that read, per 1,000 that write or list, per GB and month.
READ_PRICE, WRITE_PRICE, STORED_PRICE = 0.0004, 0.005, 0.023


class Fleet(msgspec.Struct, frozen=True, kw_only=True):
    """What is simulated; `ephemeral` is the share of hosts that begin each build empty.

    The first day warms the caches; figures are those of the second.
    """

    hosts: int = 1000
    builds: int = 20
    projects: int = 20_000
    per_build: int = 40
    ephemeral: float = 0.3
    releases: int = 600
    seed: int = 1
    # Hours of the second day, from and to.
    outage: tuple[float, float] = (10.0, 12.0)
    bucket_outage: tuple[float, float] = (15.0, 16.0)


class Figures(msgspec.Struct):
    """Of the second day: requests, bytes, and builds that failed (in an outage)."""

    pages: int = 0
    unchanged: int = 0
    sidecars: int = 0
    files: int = 0
    upstream_bytes: int = 0
    disk_bytes: int = 0
    parent_requests: int = 0
    parent_bytes: int = 0
    reads: int = 0
    writes: int = 0
    bucket_bytes_out: int = 0
    bucket_bytes_in: int = 0
    stored_bytes: int = 0
    served_bytes: int = 0
    builds: int = 0
    failed: int = 0

    @property
    def dollars(self) -> float:
        """What the bucket costs a day."""
        requests = self.reads / 1000 * READ_PRICE + self.writes / 1000 * WRITE_PRICE
        return requests + self.stored_bytes / 1e9 * STORED_PRICE / 30


class Cache(msgspec.Struct):
    """One host's, or the parent's: page → (asked at, version), blob → renewed at."""

    pages: dict[int, tuple[float, int]] = {}
    blobs: dict[tuple[int, int, str], float] = {}


class World:
    """What all set-ups see: sizes, releases, builds. The same seed gives the same one."""

    def __init__(self, fleet: Fleet) -> None:
        dice = random.Random(fleet.seed)
        self.fleet = fleet
        # Use by rank is about that of downloads of an index (Zipf), with a flatter top.
        weights = [1 / (rank + 10) for rank in range(fleet.projects)]
        self._cumulated = list(itertools.accumulate(weights))
        # Half of all wheels are below 60 KB, one in a hundred is above 8 MB.
        self.sizes = [
            min(int(math.exp(dice.gauss(math.log(60_000), 2.1))) + 1000, 900_000_000)
            for _ in range(fleet.projects)
        ]
        self._projects = range(fleet.projects)
        moments = sorted(
            (dice.random() * 2 * DAY, dice.choices(self._projects, cum_weights=self._cumulated)[0])
            for _ in range(2 * fleet.releases)
        )
        self.releases: list[tuple[float, int]] = moments
        self.starts = sorted(
            (dice.random() * 2 * DAY, dice.randrange(fleet.hosts))
            for _ in range(2 * fleet.hosts * fleet.builds)
        )
        self._dice_seed = dice.random()

    def wanted(self) -> random.Random:
        """Return the dice that choose what builds ask for: for each set-up the same."""
        return random.Random(self._dice_seed)

    def choose(self, dice: random.Random) -> set[int]:
        """Return the projects of one build."""
        return set(
            dice.choices(self._projects, cum_weights=self._cumulated, k=self.fleet.per_build)
        )


class Simulation:
    """One set-up over one world."""

    def __init__(self, world: World, setup: str) -> None:
        self.figures = Figures()
        self._world = world
        self._setup = setup
        self._hosts = [Cache({}, {}) for _ in range(world.fleet.hosts)]
        self._parent = Cache({}, {})
        self._bucket: dict[tuple[int, int, str], int] = {}
        self._waiting: list[tuple[tuple[int, int, str], int]] = []
        self._versions = [0] * world.fleet.projects
        self._now = 0.0

    def run(self) -> Figures:
        """Let two days pass; return the figures of the second."""
        world, dice = self._world, self._world.wanted()
        last_ephemeral = int(world.fleet.hosts * world.fleet.ephemeral)
        releases = iter([*world.releases, (math.inf, 0)])
        moment, project = next(releases)
        fresh = True
        for self._now, host in world.starts:
            while moment <= self._now:
                self._versions[project] += 1
                moment, project = next(releases)
            if fresh and self._now >= DAY:
                self.figures, fresh = Figures(), False
            if host < last_ephemeral:
                self._hosts[host] = Cache({}, {})
            self.figures.builds += 1
            # All is asked for, also where one thing fails: the set-ups stay comparable.
            got = [self._fetch(self._hosts[host], p) for p in sorted(world.choose(dice))]
            self.figures.failed += not all(got)
        self.figures.stored_bytes = sum(self._bucket.values())
        return self.figures

    def _within(self, hours: tuple[float, float]) -> bool:
        return hours[0] <= (self._now - DAY) / HOUR < hours[1]

    @property
    def _upstream_is_down(self) -> bool:
        return self._within(self._world.fleet.outage)

    def _fetch(self, host: Cache, project: int) -> bool:
        """Get a project's page, sidecar and file; return whether all came."""
        if self._setup == "none":
            return self._straight(project)
        version = self._page(host, project)
        if version is None:
            return False
        size = self._world.sizes[project]
        sidecar = self._blob(host, (project, version, "sidecar"), SIDECAR_BYTES)
        file = self._blob(host, (project, version, "file"), size)
        return sidecar and file

    def _straight(self, project: int) -> bool:
        if self._upstream_is_down:
            return False
        size = self._world.sizes[project]
        self.figures.pages += 1
        self.figures.sidecars += 1
        self.figures.files += 1
        self.figures.upstream_bytes += PAGE_BYTES + SIDECAR_BYTES + size
        self.figures.served_bytes += SIDECAR_BYTES + size
        return True

    def _page(self, cache: Cache, project: int) -> int | None:
        """Return the version that a cache's page lists; None if it has none and gets none."""
        known = cache.pages.get(project)
        if known is not None and self._now - known[0] < PAGE_TTL_SECONDS:
            return known[1]
        chained = self._setup == "chain" and cache is not self._parent
        if chained:
            self.figures.parent_requests += 1
            version = self._page(self._parent, project)
            if version is not None and (known is None or known[1] != version):
                self.figures.parent_bytes += PAGE_BYTES
        elif self._upstream_is_down:
            version = None
        else:
            version = self._versions[project]
            if known is not None and known[1] == version:
                self.figures.unchanged += 1
            else:
                self.figures.pages += 1
                self.figures.upstream_bytes += PAGE_BYTES
        if version is None:
            return None if known is None else known[1]  # stale
        cache.pages[project] = (self._now, version)
        return version

    def _blob(self, host: Cache, key: tuple[int, int, str], size: int) -> bool:
        """Give a client a blob; return whether it came."""
        shared = self._setup in ("bucket", "redirect") and not self._within(
            self._world.fleet.bucket_outage
        )
        self.figures.served_bytes += size
        renewed = host.blobs.get(key)
        if renewed is not None:
            if shared and self._now - renewed > DAY and key in self._bucket:
                self.figures.writes += 1
                host.blobs[key] = self._now
            if self._setup == "redirect" and shared and size > SMALL_BYTES and key in self._bucket:
                self.figures.reads += 1
                self.figures.bucket_bytes_out += size
            else:
                self.figures.disk_bytes += size
            return True
        if shared:
            self.figures.reads += 1
            if key in self._bucket:
                self.figures.bucket_bytes_out += size
                host.blobs[key] = self._now
                return True
        if not self._bring(key, size):
            self.figures.served_bytes -= size
            return False
        host.blobs[key] = self._now
        if self._setup in ("bucket", "redirect"):
            self._waiting.append((key, size))
            if shared:
                self._upload_waiting()
        return True

    def _bring(self, key: tuple[int, int, str], size: int) -> bool:
        """Have a blob from upstream, or from the parent; return whether it came."""
        if self._setup == "chain":
            self.figures.parent_requests += 1
            if key in self._parent.blobs:
                self.figures.parent_bytes += size
                return True
        if self._upstream_is_down:
            return False
        if key[2] == "file":
            self.figures.files += 1
        else:
            self.figures.sidecars += 1
        self.figures.upstream_bytes += size
        if self._setup == "chain":
            self.figures.parent_bytes += size
            self._parent.blobs[key] = self._now
        return True

    def _upload_waiting(self) -> None:
        """Put what came from upstream into the bucket, unless another host has."""
        for key, size in self._waiting:
            self.figures.reads += 1
            if key not in self._bucket:
                parts = -(-size // PART_BYTES)
                self.figures.writes += 1 if parts == 1 else parts + 2
                self.figures.bucket_bytes_in += size
                self._bucket[key] = size
        self._waiting.clear()


def simulate(fleet: Fleet) -> dict[str, Figures]:
    """Return the figures of each set-up, of the same builds."""
    world = World(fleet)
    found = {}
    for setup in SETUPS:
        print(f"simulating: {setup}", file=sys.stderr)
        found[setup] = Simulation(world, setup).run()
    return found


# What a set-up does not have.
NOT = "-"
ROWS: tuple[tuple[str, Callable[[Figures], str]], ...] = (
    ("pages from PyPI", lambda f: f"{f.pages:,}"),
    ("304 from PyPI", lambda f: f"{f.unchanged:,}"),
    ("sidecars from PyPI", lambda f: f"{f.sidecars:,}"),
    ("files from PyPI", lambda f: f"{f.files:,}"),
    ("GB from PyPI", lambda f: f"{f.upstream_bytes / 1e9:,.1f}"),
    ("requests to the parent", lambda f: f"{f.parent_requests:,}" if f.parent_requests else NOT),
    ("GB from the parent", lambda f: f"{f.parent_bytes / 1e9:,.1f}" if f.parent_bytes else NOT),
    ("bucket: GET, HEAD", lambda f: f"{f.reads:,}" if f.reads else NOT),
    ("bucket: PUT, COPY, parts", lambda f: f"{f.writes:,}" if f.reads else NOT),
    ("bucket: GB out", lambda f: f"{f.bucket_bytes_out / 1e9:,.1f}" if f.reads else NOT),
    ("bucket: GB stored", lambda f: f"{f.stored_bytes / 1e9:,.1f}" if f.reads else NOT),
    ("bucket: dollars a day", lambda f: f"{f.dollars:,.2f}" if f.reads else NOT),
    ("builds that failed", lambda f: f"{f.failed:,} of {f.builds:,}"),
)
HEADS = ("no cache", "on each host", "behind a parent", "bucket", "bucket, redirect")
BEGIN, END = "<!-- bench.fleet: table -->", "<!-- end of bench.fleet: table -->"


def table(found: dict[str, Figures]) -> str:
    """Return the figures as a Markdown table."""
    lines = ["| a day of | " + " | ".join(HEADS) + " |", "|---|" + "--:|" * len(HEADS)]
    for name, show in ROWS:
        lines.append(f"| {name} | " + " | ".join(show(found[s]) for s in SETUPS) + " |")
    return "\n".join(lines)


def main() -> int:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hosts", type=int, default=Fleet().hosts)
    parser.add_argument("--builds", type=int, default=Fleet().builds, help="of a host in a day")
    parser.add_argument("--ephemeral", type=float, default=Fleet().ephemeral)
    parser.add_argument("--seed", type=int, default=Fleet().seed)
    parser.add_argument("--quick", action="store_true", help="50 hosts, 2,000 projects")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", action="store_true", help="put it into bench/README.md")
    options = parser.parse_args()
    if options.hosts < 1 or options.builds < 1 or not 0 <= options.ephemeral <= 1:
        parser.error("hosts and builds are at least 1, ephemeral is a share")
    fleet = Fleet(
        hosts=50 if options.quick else options.hosts,
        projects=2000 if options.quick else Fleet().projects,
        builds=options.builds,
        ephemeral=options.ephemeral,
        seed=options.seed,
    )
    try:
        found = simulate(fleet)
    except KeyboardInterrupt:
        return 130
    print(table(found))
    if options.json:
        figures = {
            setup: msgspec.to_builtins(f) | {"dollars": f.dollars} for setup, f in found.items()
        }
        options.json.write_text(json.dumps({"fleet": msgspec.to_builtins(fleet), "days": figures}))
    if options.markdown:
        place = REPOSITORY / "bench" / "README.md"
        before, _, rest = place.read_text().partition(BEGIN)
        place.write_text(f"{before}{BEGIN}\n\n{table(found)}\n\n{END}{rest.partition(END)[2]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
