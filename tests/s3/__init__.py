"""Blobs in a bucket: what a real S3 store does, and what becomes of its faults."""
