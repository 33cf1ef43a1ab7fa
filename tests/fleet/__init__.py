"""The store that hosts share: what clients get through it, and whatever becomes of it."""
