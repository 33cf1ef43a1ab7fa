"""Requirement, project and lock files."""
