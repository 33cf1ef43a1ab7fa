"""Tests of the pure Simple API package."""
