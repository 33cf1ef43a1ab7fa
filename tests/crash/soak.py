"""The soak: traffic, SIGKILL at any moment, a new start, and a look at everything; many times.

`python -m tests.crash.soak --rounds 500` (`make soak`). The seed fixes what is published, what goes
wrong and what is asked; the moment of each death is as random as the machine makes it. Exit code 1:
something was wrong, and the directory is left for a look; 130: interrupted.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.crash.mined import MinedDaemon
from tests.crash.traffic import Traffic, taken_at_once, watching
from tests.crash.whole import control_of, files_in, ledger_of, wrong_in
from tests.crash.world import MAX_SIZE_BYTES, World, misbehave
from tests.fake.threaded import ThreadedFakeUpstream

LONGEST_LIFE_SECONDS = 0.8
# A life has some hundred steps; a third of them end at one that was chosen, also in the start.
STEPS = 400

# What a file system takes for its own books (extents, directories that grow) is known only once it
# is taken: once in some hundred rounds that is a few blocks at the very limit.
SLACK_BYTES = 32 * 1024

Tell = Callable[[str], None]


class Soak:
    """One cache, one index and one daemon after another. Used by one thread."""

    def __init__(self, directory: Path, upstream: ThreadedFakeUpstream, seed: int) -> None:
        self.rounds = 0
        self.answers = 0
        self._seed = seed
        self._source = random.Random(seed)
        self._world = World(seed)
        self._world.publish(upstream)
        self._upstream = upstream
        self._daemon = MinedDaemon(
            directory, upstream.url, PYPICACHED_CACHE__MAX_SIZE=str(MAX_SIZE_BYTES)
        )

    def close(self) -> None:
        """End what runs."""
        self._daemon.close()

    def play(self) -> list[str]:
        """Let a daemon live and die, and return what is wrong afterwards."""
        self.rounds += 1
        misbehave(self._upstream, self._source)
        wrong = self._live()
        self._upstream.heal()
        self._daemon.mine.lay(0)
        self._daemon.start()
        wrong += wrong_in(self._daemon)
        wrong += self._over_the_limit(self._used())
        wrong += [f"status: {text}" for text in control_of(self._daemon).status().problems]
        wrong += self._wrong_files()
        self._daemon.stop(signal.SIGKILL)
        return wrong

    def _live(self) -> list[str]:
        """Run a daemon under traffic until it dies; return what its clients found wrong."""
        chosen = self._source.random() < 0.35
        self._daemon.mine.lay(self._source.randrange(1, STEPS) if chosen else 0)
        try:
            self._daemon.start()
        except AssertionError:  # it died at its start
            assert self._daemon.wait() == -signal.SIGKILL
            return []
        seed = self._source.randrange(1 << 30)
        traffic = Traffic(self._world, self._daemon.url, control_of(self._daemon), seed)
        with watching(self._daemon.cache / "blobs", self._daemon.cache / "tmp") as watched:
            asyncio.run(self._kill_in(traffic, self._source.uniform(0.02, LONGEST_LIFE_SECONDS)))
        code = self._daemon.wait()
        self.answers += traffic.answers
        wrong = [*traffic.wrong, *self._over_the_limit(watched.most_bytes)]
        return wrong if code == -signal.SIGKILL else [*wrong, f"the daemon ended with {code}"]

    async def _kill_in(self, traffic: Traffic, seconds: float) -> None:
        asking = asyncio.create_task(traffic.run())
        await asyncio.wait({asking}, timeout=seconds)
        with contextlib.suppress(ProcessLookupError):
            self._daemon.send(signal.SIGKILL)
        await asking

    def _used(self) -> int:
        return taken_at_once(self._daemon.cache / "blobs", self._daemon.cache / "tmp")

    def _over_the_limit(self, used: int) -> list[str]:
        over = used - MAX_SIZE_BYTES - SLACK_BYTES
        return [f"blobs/ and tmp/ took {over} bytes more than max_size"] if over > 0 else []

    def _wrong_files(self) -> list[str]:
        """Ask for everything that has an entry: it is here, and right, without the index."""
        with ledger_of(self._daemon.cache) as db:
            entries = db.execute("SELECT path, kind, filename FROM file").fetchall()
        self._upstream.clear()
        wrong = []
        for path, kind, filename in entries:
            suffix = ".metadata" if kind == "metadata" else ""
            answer = self._daemon.get(f"/files/pypi/{path}{suffix}")
            if answer != (200, self._world.body_of(filename)):
                wrong.append(f"{filename}: {answer[0]}, {len(answer[1])} bytes, after the start")
        # It may be asked for pages of files in use (`cache.recall`), which no client waits for.
        for request in self._upstream.requests:
            if not request.path.startswith("/simple/"):
                wrong.append(f"the index was asked for {request.path}")
        return wrong


@contextlib.contextmanager
def soaking(directory: Path, seed: int) -> Iterator[Soak]:
    """Make a soak on a directory of its own, and end it."""
    with (
        ThreadedFakeUpstream() as upstream,
        contextlib.closing(Soak(directory, upstream, seed)) as soak,
    ):
        yield soak


def run(directory: Path, rounds: int, seed: int, tell: Tell) -> bool:
    """Play so many rounds, or up to the first that finds something; return whether none did."""
    began = time.monotonic()
    with soaking(directory, seed) as soak:
        for number in itertools.count(1) if rounds == 0 else range(1, rounds + 1):
            wrong = soak.play()
            tell(
                f"{number} of {rounds or 'many'}, {time.monotonic() - began:.0f} s, "
                f"{soak.answers} answers, {len(files_in(directory / 'cache' / 'blobs'))} blobs"
            )
            for text in wrong:
                tell(f"WRONG: {text}")
            if wrong:
                return False
    return True


def main() -> int:
    """Parse the command line and soak."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=500, help="0: until interrupted")
    parser.add_argument("--seed", type=int, default=None, help="what an earlier run has printed")
    options = parser.parse_args()
    seed = random.randrange(1 << 30) if options.seed is None else options.seed
    directory = Path(tempfile.mkdtemp(prefix="soak-"))
    _tell(f"seed {seed}, in {directory}")
    right = False
    try:
        right = run(directory, options.rounds, seed, _tell)
    except KeyboardInterrupt:
        _tell("interrupted")
        right = True
        return 130
    finally:
        if right:
            shutil.rmtree(directory, ignore_errors=True)
        else:
            _tell(f"again: make soak SEED={seed}; what is left: {directory}")
    return 0 if right else 1


def _tell(text: str) -> None:
    sys.stderr.write(f"soak: {text}\n")


if __name__ == "__main__":
    sys.exit(main())
