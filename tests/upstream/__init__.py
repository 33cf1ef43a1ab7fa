"""What is known of an upstream, and when it is asked: pure, or against a local server."""
