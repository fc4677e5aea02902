"""What a run leaves on the disk, and reading it back when people or kills have been at it."""

from .early_lines import rank_and_number, say_early, say_once, take_early_lines
from .lines import mend_lines, set_aside
from .path_log import PATH_LOG, cut_path_log, read_path_log
from .read import (
    Dropped,
    read_csv,
    read_json,
    read_json_lines,
    read_lines,
    read_text,
    shorten,
    some_of,
)
from .regular import check_regular, read_bytes
from .whole import append_lines, write_json, write_whole

__all__ = [
    'PATH_LOG',
    'Dropped',
    'append_lines',
    'check_regular',
    'cut_path_log',
    'mend_lines',
    'rank_and_number',
    'read_bytes',
    'read_csv',
    'read_json',
    'read_json_lines',
    'read_lines',
    'read_path_log',
    'read_text',
    'say_early',
    'say_once',
    'set_aside',
    'shorten',
    'some_of',
    'take_early_lines',
    'write_json',
    'write_whole',
]
