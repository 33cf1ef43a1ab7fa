"""The bounded memory, against a plain model of what an LRU is."""

from __future__ import annotations

import weakref

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pypicached.cache.memory import ENTRY_BYTES, STEP, Memory
from tests.cache.client import until

LIMIT = 4 * ENTRY_BYTES
keys = st.integers(0, 5)
# Mostly small, so that several live together.
sizes = st.one_of(st.integers(0, 300), st.integers(0, LIMIT))
puts = st.tuples(st.just("put"), keys, sizes)
gets = st.tuples(st.just("get"), keys, st.just(0))
drops = st.tuples(st.sampled_from(["drop", "drop even", "clear"]), keys, st.just(0))
# Weighted, so that the memory is full most of the time.
steps = st.lists(st.one_of(puts, puts, puts, gets, gets, drops), max_size=40)


class Model:
    """A list, least recently used first."""

    def __init__(self) -> None:
        self.entries: list[tuple[int, int, int]] = []

    def find(self, key: int) -> tuple[int, int, int] | None:
        """Return (key, value, bytes)."""
        return next((entry for entry in self.entries if entry[0] == key), None)

    def put(self, key: int, value: int, size: int) -> None:
        """Keep it as the newest, and drop the oldest until all fits."""
        self.entries = [entry for entry in self.entries if entry[0] != key]
        if size + ENTRY_BYTES <= LIMIT:
            self.entries.append((key, value, size + ENTRY_BYTES))
        while sum(entry[2] for entry in self.entries) > LIMIT:
            self.entries.pop(0)

    def get(self, key: int) -> int | None:
        """Return it and make it the newest."""
        found = self.find(key)
        if found is None:
            return None
        self.entries.remove(found)
        self.entries.append(found)
        return found[1]


@given(steps)
@example([*(("put", key, 0) for key in range(4)), ("get", 0, 0), ("put", 4, 0)])
@example([*(("put", key, 0) for key in range(4)), ("put", 0, 0), ("put", 4, 0)])
def test_memory__is_a_bounded_lru(program: list[tuple[str, int, int]]) -> None:
    """Same answers as the model, never above the limit, and the count of bytes is exact."""
    memory: Memory[int, int] = Memory(LIMIT)
    model = Model()
    for number, (step, key, size) in enumerate(program):
        if step == "put":
            memory.put(key, number, size)
            model.put(key, number, size)
        elif step == "get":
            assert memory.get(key) == model.get(key)
        elif step == "drop":
            memory.drop(key)
            model.entries = [entry for entry in model.entries if entry[0] != key]
        elif step == "drop even":
            memory.drop_where(lambda k: k % 2 == 0)
            model.entries = [entry for entry in model.entries if entry[0] % 2]
        else:
            memory.clear()
            model.entries.clear()
        assert memory.used_bytes == sum(entry[2] for entry in model.entries) <= LIMIT
        assert len(memory) == len(model.entries)
    for key in range(8):
        assert memory.get(key) == model.get(key)


class Value:
    """Something whose end can be seen."""


MANY = 3 * STEP


def filled() -> tuple[Memory[int, Value], weakref.WeakSet[Value]]:
    """Return a memory of many values, and those of them that there still are."""
    memory: Memory[int, Value] = Memory(MANY * ENTRY_BYTES)
    alive = weakref.WeakSet[Value]()
    for key in range(MANY):
        value = Value()
        alive.add(value)
        memory.put(key, value, 0)
    return memory, alive


@pytest.mark.parametrize("how", ["clear", "drop_where"])
async def test_memory__forgets_much_in_steps(how: str) -> None:
    """What is forgotten is found no more, at once; it is given back a step at a time."""
    memory, alive = filled()
    if how == "clear":
        memory.clear()
    else:
        memory.drop_where(lambda key: key < MANY)
    assert (memory.get(0), len(memory), memory.used_bytes) == (None, 0, 0)
    assert len(alive) == MANY - STEP
    memory.put(0, Value(), 0)
    await until(lambda: not alive)
    assert len(memory) == 1


async def test_memory__shrinks_in_steps() -> None:
    """With a lower limit the least recently used go a step at a time, also while it is used."""
    memory, alive = filled()
    memory.resize(10 * ENTRY_BYTES)
    assert len(memory) == len(alive) == MANY - STEP
    memory.put(-1, Value(), 0)
    assert len(memory) == MANY - 2 * STEP + 1
    await until(lambda: len(memory) == 10)
    assert memory.used_bytes == memory.limit_bytes
    assert all(memory.get(key) is not None for key in (-1, *range(MANY - 9, MANY)))
