"""Tests of the caching rules: downloads, room, recovery."""
