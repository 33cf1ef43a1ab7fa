"""Tests of pypicached."""
