"""The commands of README and docs/, in the order of the text."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cream_mm.command_words import PROGRAM
from cream_mm.commands.main import commands

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').rglob('*.md'))]
COMMANDS = commands()
HEADS = (PROGRAM, 'git', 'make', 'pip', 'python', 'srun', 'torchrun', 'uv')
_FENCE = r'^ *```(?:bash|text)?\n(?P<fence>.+?)^ *```'
_INDENTED = r'(?:^\n)(?P<indented>(?:^    .+\n)+)'
_INLINE = rf'`(?P<inline>(?:{"|".join(HEADS)}) [^`]+)`'
_BLOCKS = re.compile(f'{_FENCE}|{_INDENTED}|{_INLINE}', flags=re.M | re.S)


class Command(NamedTuple):
    """One of a page: its name from the repository's root, and the words as a shell splits them."""

    page: str
    words: list[str]

    @property
    def text(self) -> str:
        return shlex.join(self.words)

    @property
    def tool(self) -> str | None:
        """Module of ``cream_mm.commands`` that it runs; None if it runs something else."""
        if self.words[0] == PROGRAM:
            return COMMANDS.get(self.words[1])
        for word in self.words:
            if word.startswith('tools/'):
                return Path(word).stem
        return None

    @property
    def args(self) -> list[str]:
        """What the tool is given."""
        if self.words[0] == PROGRAM:
            return self.words[2:]
        (place,) = (i for i, word in enumerate(self.words) if word.startswith('tools/'))
        return self.words[place + 1 :]


def is_mention(words: list[str], match: re.Match) -> bool:
    """Whether it names a command and runs none: `cream-mm train`, or `tools/NAME.py`."""
    is_name = match['inline'] and words[0] == PROGRAM and len(words) == 2
    return is_name and words[1] in COMMANDS or 'NAME' in (words[-1], words[1], Path(words[1]).stem)


def commands_of(page: Path) -> Iterator[Command]:
    """Those in blocks of shell commands, in indented blocks, and inline between backticks."""
    name = page.relative_to(ROOT).as_posix()
    text = re.sub(r'^ *```(?!bash|text)\w+\n.+?^ *```', '', page.read_text(), flags=re.M | re.S)
    for match in _BLOCKS.finditer(text):
        block = next(part for part in match.groups() if part)
        if match['inline']:
            block = block.replace('\n', ' ')
        for line in block.replace('\\\n', ' ').splitlines():
            line = line.strip().replace('<this repository>', 'URL')
            if line.partition(' ')[0] not in HEADS:
                continue
            words = shlex.split(line, comments=True)
            for part in shlex.join(words).split(" '&&' "):
                words = shlex.split(part)
                if words[0] in HEADS and len(words) > 1 and not is_mention(words, match):
                    yield Command(name, words)
