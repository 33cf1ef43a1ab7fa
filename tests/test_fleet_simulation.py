"""The simulation of a fleet: it adds up, it can be repeated, and small cases come out by hand."""

from __future__ import annotations

import pytest

from bench.fleet import DAY, Figures, Fleet, Simulation, World, simulate, table

SMALL = Fleet(hosts=10, builds=10, projects=300, releases=50, seed=3)


@pytest.fixture(scope="module")
def found() -> dict[str, Figures]:
    return simulate(SMALL)


def test_fleet_simulation__can_be_repeated(found: dict[str, Figures]) -> None:
    """A seed gives its figures again, another one gives others."""
    assert simulate(SMALL) == found
    other = Fleet(hosts=10, builds=10, projects=300, releases=50, seed=4)
    assert simulate(other) != found


def test_fleet_simulation__adds_up(found: dict[str, Figures]) -> None:
    """What clients got of files came from a disk, the bucket or upstream, to the byte."""
    page = 30_000
    for setup in ("hosts", "bucket", "redirect"):
        day = found[setup]
        from_upstream = day.upstream_bytes - day.pages * page
        assert day.served_bytes == day.disk_bytes + day.bucket_bytes_out + from_upstream, setup


def test_fleet_simulation__sharing_asks_less(found: dict[str, Figures]) -> None:
    """Each way to share asks PyPI for fewer files than the one before; a parent saves pages."""
    files = [found[setup].files for setup in ("none", "hosts", "bucket", "chain")]
    assert files == sorted(files, reverse=True)
    assert found["bucket"].pages == found["hosts"].pages > found["chain"].pages
    assert found["none"].reads == found["hosts"].reads == found["chain"].reads == 0


def test_fleet_simulation__by_hand() -> None:
    """One host, one project, two builds on the second day: one page kept, one asked again."""
    quiet = (0.0, 0.0)
    fleet = Fleet(
        hosts=1,
        builds=1,
        projects=1,
        per_build=1,
        ephemeral=0.0,
        releases=0,
        outage=quiet,
        bucket_outage=quiet,
    )
    world = World(fleet)
    world.starts = [(10.0, 0), (DAY + 10, 0), (DAY + 20, 0), (DAY + 700, 0)]
    day = Simulation(world, "bucket").run()
    # Of the first day the caches are warm: within 10 minutes nothing is asked, then there are 304s.
    assert (day.builds, day.pages, day.unchanged, day.files) == (3, 0, 2, 0)
    # The next use after a day renews both objects.
    assert (day.reads, day.writes) == (0, 2)
    none = Simulation(world, "none").run()
    assert (none.pages, none.files, none.sidecars) == (3, 3, 3)


def test_fleet_simulation__outages() -> None:
    """Without a cache builds fail in an outage; a warm host fails for nothing that it has."""
    fleet = Fleet(
        hosts=1, builds=1, projects=1, per_build=1, ephemeral=0.0, releases=0, outage=(0.0, 24.0)
    )
    world = World(fleet)
    world.starts = [(10.0, 0), (DAY + 10, 0), (DAY + 700, 0)]
    assert Simulation(world, "none").run().failed == 2
    assert Simulation(world, "hosts").run().failed == 0


def test_fleet_simulation__table(found: dict[str, Figures]) -> None:
    """The table has a column for each set-up."""
    lines = table(found).splitlines()
    assert {line.count("|") for line in lines} == {7}
