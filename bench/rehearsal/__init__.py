"""The parts of `bench.rehearse`: stages, scenarios, what is seen, how it is judged and shown."""
