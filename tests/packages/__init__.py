"""What the Debian package is made of, as far as nothing has to be built to see it."""
