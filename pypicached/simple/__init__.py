"""The Simple Repository API, pure: model, names, parsing, rendering, negotiation. No I/O."""
