"""The Debian packages, installed in a fresh Debian with a booted systemd (make test-deb)."""
