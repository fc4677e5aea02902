"""The console command ``cream-mm NAME ...``: each module of this folder is one NAME."""

import difflib
import re
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from cream_mm.command_line import one_line_errors, version_line
from cream_mm.command_words import PROGRAM, command_name, speaks_of_program, use_program

# From a folder of images to a running model; the others follow by name.
FIRST = (
    'demo', 'check', 'search', 'export', 'retrain', 'detect', 'predict', 'report', 'latency',
    'onnx', 'configs', 'doctor',
)  # fmt: skip
HEAD = """\
usage: cream-mm COMMAND ...

From a folder of images to a network that fits a budget. cream-mm COMMAND --help tells more.
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command that the arguments name; what the console script calls."""
    use_program()
    run(sys.argv[1:] if argv is None else argv)


def commands() -> dict[str, str]:
    """Names of the commands and their modules, those that are used most first."""
    files = Path(__file__).parent.glob('*.py')
    modules = (path.stem for path in files if path.stem != 'main' and path.stem[0] != '_')
    names = {command_name(module): module for module in modules}
    return {name: names[name] for name in sorted(names, key=lambda n: (_place(n), n))}


def run(words: Sequence[str]) -> None:
    """Run ``NAME ARG ...``; ends the process with the command's exit code, 2 for no command."""
    if not words or words[0] in ('-h', '--help'):
        print(overview())
        return
    if words[0] == '--version':
        print(version_line())
        return
    known = commands()
    name = words[0].replace('_', '-')
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        meant = f'; did you mean {near[0]!r}?' if near else '.'
        print(f'error: no command {words[0]!r}{meant} "{PROGRAM}" lists them', file=sys.stderr)
        sys.exit(2)
    module = known[name]
    # What argparse, notes of commands and messages take as the command's name.
    sys.argv = [f'{PROGRAM} {name}' if speaks_of_program() else f'tools/{module}.py', *words[1:]]
    with one_line_errors():
        code = import_module(f'cream_mm.commands.{module}').main(list(words[1:]))
    sys.exit(code if isinstance(code, int) else None)


def overview() -> str:
    """The commands with a line each, which is the first of their files."""
    lines, known = [HEAD], commands()
    width = max(map(len, known))
    for name, module in known.items():
        if name == next((n for n in known if n not in FIRST), None):
            lines.append('')
        text = Path(__file__).with_name(f'{module}.py').read_text(encoding='utf-8')
        about = re.match(r'"""(.+?)(?:"""|\n)', text)
        lines.append(f'  {name:<{width}}  {about[1] if about else ""}')
    return '\n'.join(lines)


def _place(name: str) -> int:
    return FIRST.index(name) if name in FIRST else len(FIRST)
