"""`pypicached-client`, the stand-alone program."""
