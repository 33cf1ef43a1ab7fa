"""What is resolved, and what becomes of the rest where something cannot be had."""

from __future__ import annotations

from tests.fake.wheels import make_wheel
from tests.warm.shelf import Shelf, versions


def test_resolve__newest_that_goes_together() -> None:
    """The newest version of everything is taken, older ones where the newest conflict."""
    shelf = Shelf()
    shelf.add(
        "a",
        make_wheel("a", "1.0", requires=["b<2"]),
        make_wheel("a", "2.0", requires=["b<2", "c>=5"]),
    )
    shelf.add("b", make_wheel("b", "1.0"), make_wheel("b", "2.0"))
    shelf.add("c", make_wheel("c", "1.0"))
    plan = shelf.plan("a", "b")
    assert (versions(plan), plan.problems) == ({"a": "1.0", "b": "1.0"}, ())
    asked = {item.project: item.requested_by for item in plan.items}
    assert asked == {
        "a": ("requirements.txt line 1",),
        "b": ("requirements.txt line 2", "a 1.0"),
    }
