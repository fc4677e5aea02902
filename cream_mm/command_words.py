"""How a user calls a command: ``python tools/train.py`` in a clone, or ``cream-mm train``.

What is printed names tools by their files. Under the console command it goes through
:func:`as_typed`, which is all that knows of the other names.
"""

import os
import re
import shlex
import sys
from pathlib import Path

from cream_mm.mim_scope import SCOPE, config_place

PROGRAM = 'cream-mm'
# Set by the console command, and handed down to the processes that it starts.
_VARIABLE = 'CREAM_MM_PROGRAM'
# Files whose command has another name than their own.
_NAMES = {
    'check_data': 'check',
    'export_arch': 'export',
    'export_onnx': 'onnx',
    'search': 'search-again',
    'search_data': 'search',
}
_TORCHRUN = re.compile(r'(torchrun\b[^\n]*?)\S*\btools/(\w+)\.py')
_TOOL = re.compile(r'(?:python )?(?<![\w-])(?:[\w.-]*/)*tools/(\w+)\.py\b')
_CONFIG = re.compile(r'(?<![\w/.:-])configs/((?:[\w-]+/)*[\w.-]+\.py)\b')


def command_name(module: str) -> str:
    """``'export-arch'``-like name of the command of a file in ``cream_mm/commands``.

    >>> command_name('train_paths'), command_name('search')
    ('train-paths', 'search-again')
    """
    return _NAMES.get(module, module.replace('_', '-'))


def use_program() -> None:
    """From now on this process and those that it starts speak of the console command."""
    os.environ[_VARIABLE] = PROGRAM


def speaks_of_program() -> bool:
    """Whether the user called the console command."""
    return os.environ.get(_VARIABLE) == PROGRAM


def as_typed(text: str) -> str:
    """A text with its commands as the user types them; under the console command that is

    * ``python tools/train_paths.py CONFIG``: ``cream-mm train-paths CONFIG``,
    * ``torchrun ... tools/train.py``: ``torchrun ... -m cream_mm train``,
    * ``configs/photos/search.py``, where no such file is here: ``cream_mm::photos/search.py``.
    """
    if not speaks_of_program():
        return text
    text = _TORCHRUN.sub(lambda m: f'{m[1]}-m cream_mm {command_name(m[2])}', text)
    text = _TOOL.sub(lambda m: f'{PROGRAM} {command_name(m[1])}', text)
    return _CONFIG.sub(lambda m: m[0] if os.path.isfile(m[0]) else f'{SCOPE}::{m[1]}', text)


def words_as_typed(words: list[str]) -> list[str]:
    """The same of a command that begins with ``['python', 'tools/NAME.py']``.

    >>> words_as_typed(['python', 'tools/report.py', 'work dir'])
    ['python', 'tools/report.py', 'work dir']
    """
    if not speaks_of_program() or len(words) < 2 or words[0] != 'python':
        return words
    found = _TOOL.fullmatch(words[1])
    return [PROGRAM, command_name(found[1]), *words[2:]] if found else words


def own_command(module: str) -> list[str]:
    """What starts a command of ours in another process, or a module by its whole name.

    No clone is needed. The current folder is not on its path, as ``python -m`` would have it.

    >>> own_command('train_paths')[-1], own_command('cream_mm.apis.probe_batch')[-1]
    ('train-paths', 'cream_mm.apis.probe_batch')
    """
    main = Path(__file__).resolve().with_name('__main__.py')
    return [sys.executable, str(main), module if '.' in module else command_name(module)]


def own_words(line: str) -> list[str]:
    """What runs a line such as ``tools/train.py configs/demo/search_digits.py`` without a clone.

    A config that is not here is the package's.
    """
    tool, *words = shlex.split(line)
    return [*own_command(Path(tool).stem), *map(_here_or_ours, words)]


def _here_or_ours(word: str) -> str:
    named = f'{SCOPE}::{word.removeprefix("configs/")}'
    place = config_place(named) if word.startswith('configs/') else named
    return word if place == named or os.path.isfile(word) else place
