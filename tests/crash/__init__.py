"""Crashes and full disks: a daemon process that is killed, or has no room, at any moment."""
