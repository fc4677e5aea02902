"""``commands.txt`` of a work directory: the commands that worked in it, to be given again."""

import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from .read import read_lines
from .whole import append_lines

COMMANDS = 'commands.txt'
MAX_LINES, MAX_BYTES = 100, 10_000
_TOOL = re.compile(r'(?:.*/)?tools/\w+\.py')


def note_command(
    work_dir: str | Path,
    argv: Sequence[str] | None = None,
    *,
    launcher: str = 'none',
    environ: Mapping[str, str] | None = None,
) -> None:
    """Add the command of this process, if it is one of ``tools/``.

    Args:
        work_dir (str | Path): Where it works.
        argv (Sequence[str], optional): Defaults to this process's.
        launcher (str): ``'pytorch'`` where torchrun started it.
        environ (Mapping, optional): For the number of processes. Defaults to this process's.
    """
    argv = list(sys.argv if argv is None else argv)
    if not argv or not _TOOL.fullmatch(argv[0]):
        return
    command = ['python', *argv]
    if launcher == 'pytorch':
        ranks = (os.environ if environ is None else environ).get('LOCAL_WORLD_SIZE', '1')
        command = ['torchrun', f'--nproc_per_node={ranks}', *argv]
    append_lines(Path(work_dir, COMMANDS), [shlex.join(' '.join(c.split('\n')) for c in command)])


def read_commands(work_dir: str | Path) -> list[list[str]]:
    """The commands noted in a work directory, each once, the first first.

    What is no command of ``tools/`` is passed over: the file may be anybody's, and what is
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
        tool = 2 if words[:1] == ['torchrun'] else 1
        starts = words[:1] == ['python'] or bool(
            tool == 2 and len(words) > 1 and re.fullmatch(r'--nproc_per_node=\d{1,4}', words[1])
        )
        if starts and len(words) > tool and _TOOL.fullmatch(words[tool]) and words not in found:
            found.append(words)
    return found[:MAX_LINES]
