"""A cache of a million files, and what it is measured by."""
