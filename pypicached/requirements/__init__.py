"""Requirement, project and lock files → typed items (`reading.read_inputs`). No I/O, no await.

The command line alone reads the user's files; the daemon gets `model.Inputs`, never a path.
"""
