"""Requirement and lock files, read into typed items. Pure: text in, items out."""
