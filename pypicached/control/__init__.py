"""The control socket: what commands and daemon say to each other."""
