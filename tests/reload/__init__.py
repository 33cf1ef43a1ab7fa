"""`pypicached reload` and SIGHUP."""
