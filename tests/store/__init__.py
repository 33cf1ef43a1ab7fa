"""Tests of the blob store on disk."""
