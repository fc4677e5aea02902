"""List the configs that come with the package, or print where one lies.

  cream-mm configs
  cream-mm configs photos
  cream-mm configs photos/search.py

One by its name is printed as the path of its file, to look at, to copy, or to inherit from. A
config of your own inherits in one of two ways:

  _base_ = 'cream_mm::photos/search.py'           where cream_mm is imported before it is read
  _base_ = '/.../cream_mm/.mim/configs/photos/search.py'         anywhere, by the printed path

The first works in all commands here, and with "python -m cream_mm SCRIPT.py" in scripts of others;
mmengine reads what a file inherits from before its custom_imports. Commands take
cream_mm::photos/search.py wherever they take a config.
"""

import argparse
import difflib
from collections.abc import Sequence
from pathlib import Path

from cream_mm.command_line import tool_parser
from cream_mm.mim_scope import SCOPE, configs_root


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('name', nargs='?', help='a config, or a folder of them; default: all')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    root = configs_root() / 'configs'
    names = sorted(path.relative_to(root).as_posix() for path in root.glob('*/*.py'))
    names = [name for name in names if not name.startswith('_')]
    names += sorted(path.name for path in root.glob('*.py'))
    name = args.name
    if name is None:
        print_table(names, root)
        return
    name = name.removeprefix(f'{root}/').removeprefix(f'{SCOPE}::').removeprefix('configs/')
    for one in (name, f'{name}.py'):
        if one in names:
            print(root / one)
            return
    below = [one for one in names if one.startswith(f'{name.rstrip("/")}/')]
    if not below:
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        meant = f'; did you mean {near[0]}?' if near else ''
        raise ValueError(f'no config {args.name}{meant} "cream-mm configs" lists them')
    print_table(below, root)


def print_table(names: Sequence[str], root: Path) -> None:
    """Names with a line each, and where they lie."""
    width = max(map(len, names))
    for name in names:
        print(f'{name:<{width}}  {about(root / name)}'.rstrip())
    print(f'\nin {root}')


def about(path: Path) -> str:
    """The first sentence of the comment that a config begins with."""
    comment = []
    for line in path.read_text(encoding='utf-8').splitlines():
        if not line.startswith('#') or not line.strip('# '):
            break
        comment.append(line.strip('# '))
    first = ' '.join(comment).partition('. ')[0].rstrip('.')
    return first if len(first) <= 110 else f'{first[:107]}...'
