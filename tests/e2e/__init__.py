"""A real daemon process and real clients, in front of the fake index on loopback."""
