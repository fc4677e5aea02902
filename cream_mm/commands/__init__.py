"""Command lines: one module for each, with ``parse_args`` and ``main``."""
