"""Black-box tests of the public listener, over loopback."""
