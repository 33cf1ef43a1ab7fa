"""Working out what a build would fetch."""
