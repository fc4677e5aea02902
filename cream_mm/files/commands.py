"""``commands.txt`` of a work directory: the commands that worked in it, to be given again."""

import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..command_words import PROGRAM
from .read import read_lines
from .whole import append_lines

COMMANDS = 'commands.txt'
MAX_LINES, MAX_BYTES = 100, 10_000
_TOOL = re.compile(r'(?:.*/)?tools/\w+\.py')
_NAME = re.compile(r'[a-z][a-z-]*')
_RANKS = re.compile(r'--nproc_per_node=\d{1,4}')


def note_command(
    work_dir: str | Path,
    argv: Sequence[str] | None = None,
    *,
    launcher: str = 'none',
    environ: Mapping[str, str] | None = None,
) -> None:
    """Add the command of this process, if it is one of ``tools/`` or of the console command.

    Args:
        work_dir (str | Path): Where it works.
        argv (Sequence[str], optional): Defaults to this process's.
        launcher (str): ``'pytorch'`` where torchrun started it.
        environ (Mapping, optional): For the number of processes. Defaults to this process's.
    """
    argv = list(sys.argv if argv is None else argv)
    by_name = bool(argv) and argv[0].split(' ')[0] == PROGRAM
    if not argv or not by_name and not _TOOL.fullmatch(argv[0]):
        return
    command = [*argv[0].split(' '), *argv[1:]] if by_name else ['python', *argv]
    if launcher == 'pytorch':
        ranks = (os.environ if environ is None else environ).get('LOCAL_WORLD_SIZE', '1')
        own = ['-m', 'cream_mm', *command[1:]] if by_name else argv
        command = ['torchrun', f'--nproc_per_node={ranks}', *own]
    append_lines(Path(work_dir, COMMANDS), [shlex.join(' '.join(c.split('\n')) for c in command)])


def read_commands(work_dir: str | Path) -> list[list[str]]:
    """The commands noted in a work directory, each once, the first first.

    What is no command of ours is passed over: the file may be anybody's, and what is
    read here is pasted into a shell. ``shlex.join`` writes one so that a shell finds nothing in
    it but words.
    """
    path, found = Path(work_dir, COMMANDS), []
    if not path.is_file():
        return []
    for _, line in read_lines(path, MAX_BYTES * MAX_LINES):
        try:
            words = shlex.split(line.decode())
        except ValueError:  # a quote without an end; no text
            continue
        rest = words[1:]
        if words[:1] == ['torchrun'] and _RANKS.fullmatch(' '.join(words[1:2])):
            rest = words[2:]
        if _is_ours(words[:1], rest) and words not in found:
            found.append(words)
    return found[:MAX_LINES]


def _is_ours(start: list[str], rest: list[str]) -> bool:
    """Whether words run a tool, by its file or by its name."""
    if start == [PROGRAM]:
        return bool(rest) and _NAME.fullmatch(rest[0]) is not None
    if start == ['torchrun'] and rest[:2] == ['-m', 'cream_mm']:
        return len(rest) > 2 and _NAME.fullmatch(rest[2]) is not None
    return start in (['python'], ['torchrun']) and bool(rest) and bool(_TOOL.fullmatch(rest[0]))
