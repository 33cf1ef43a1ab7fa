"""Working out what a build on some Python and platform would fetch, and fetching it."""
