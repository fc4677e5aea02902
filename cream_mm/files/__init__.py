"""Files that runs leave on the disk, and tables from elsewhere: read without trusting them."""

from .lines import mend_lines, set_aside
from .read import (
    Dropped,
    read_csv,
    read_json,
    read_json_lines,
    read_lines,
    read_text,
    shorten,
)
from .regular import check_regular, read_bytes

__all__ = [
    'Dropped', 'check_regular', 'mend_lines', 'read_bytes', 'read_csv', 'read_json',
    'read_json_lines', 'read_lines', 'read_text', 'set_aside', 'shorten',
]  # fmt: skip
