"""The byte budget: what is used and reserved never passes the limit."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from pypicached.cache.budget import Budget
from pypicached.errors import NeverFitsError, NoRoomError

LIMIT, DISK, MIN_FREE = 1000, 1500, 300
sizes = st.integers(0, 1100)


class BudgetMachine(RuleBasedStateMachine):
    """Reservations that are committed, released, removed, on a disk that others write to."""

    reserved: Bundle[int] = Bundle("reserved")
    kept: Bundle[int] = Bundle("kept")

    def __init__(self) -> None:
        super().__init__()
        self.others = 0
        self.held = 0
        self.stored = 0
        self.budget = Budget(LIMIT, min_free_bytes=MIN_FREE, free_bytes=self.free)

    def free(self) -> int:
        """What the disk has left."""
        return DISK - self.others - self.held - self.stored

    @rule(target=reserved, wanted=sizes)
    def reserve(self, wanted: int) -> int:
        """Room is given exactly if limit and disk have it; refused for good if it never fits."""
        fits = self.held + self.stored + wanted <= LIMIT
        free = self.free() - wanted >= MIN_FREE
        assert (self.budget.missing(wanted) == 0) == (fits and free)
        if wanted > LIMIT:
            with pytest.raises(NeverFitsError):
                self.budget.reserve(wanted)
            return 0
        if not (fits and free):
            with pytest.raises(NoRoomError):
                self.budget.reserve(wanted)
            return 0
        self.budget.reserve(wanted)
        self.held += wanted
        return wanted

    @rule(target=kept, amount=consumes(reserved), share=st.floats(0, 1))
    def commit(self, amount: int, share: float) -> int:
        """A blob may take less than was reserved for it."""
        used = int(amount * share)
        self.budget.commit(amount, used)
        self.held -= amount
        self.stored += used
        return used

    @rule(amount=consumes(reserved))
    def release(self, amount: int) -> None:
        """Nothing was kept."""
        self.budget.release(amount)
        self.held -= amount

    @rule(amount=consumes(kept))
    def remove(self, amount: int) -> None:
        """A blob went."""
        self.budget.removed(amount)
        self.stored -= amount

    @rule(others=st.integers(0, DISK))
    def others_write(self, others: int) -> None:
        """The disk is shared."""
        self.others = others

    @invariant()
    def in_step(self) -> None:
        """What is counted is what is there, and never above the limit."""
        assert (self.budget.used_bytes, self.budget.reserved_bytes) == (self.stored, self.held)
        assert self.budget.used_bytes + self.budget.reserved_bytes <= LIMIT


TestBudget = BudgetMachine.TestCase


def test_budget__unlimited() -> None:
    """Without a limit only the disk's free space counts."""
    budget = Budget(None, min_free_bytes=10, free_bytes=lambda: 100)
    budget.reserve(90)
    assert budget.missing(91) == 1
    with pytest.raises(NoRoomError):
        budget.reserve(91)


def test_budget__directories_count() -> None:
    """What lies beside the blobs and cannot be evicted is a part of the limit, too."""
    beside = [0]
    budget = Budget(100, min_free_bytes=0, free_bytes=lambda: 1000, beside_bytes=lambda: beside[0])
    budget.reserve(60)
    beside[0] = 30
    assert (budget.held_bytes, budget.missing(10), budget.missing(11)) == (90, 0, 1)
    with pytest.raises(NoRoomError):
        budget.reserve(11)
