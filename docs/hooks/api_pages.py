"""Hook of mkdocs: a page of the API for each room, with what the room hands out by ``__all__``.

Everything is read off the source text; cream_mm is not imported.
"""

import ast
import runpy
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
ROOMS = runpy.run_path(str(ROOT / 'docs/hooks/public_names.py'))
rooms, public_names = ROOMS['rooms'], ROOMS['public_names']


def first_line(path: Path) -> str:
    """Of a module's docstring."""
    return (ast.get_docstring(ast.parse(path.read_text())) or '').partition('\n')[0]


def room_page(room: str) -> str:
    """Markdown with one ``:::`` for each public name, by the folders of the room."""
    home = ROOT / 'cream_mm' / room
    lines = [f'# cream_mm.{room}', '', first_line(home / '__init__.py'), '']
    for package, names in public_names(room).items():
        if package != room:
            path = ROOT / 'cream_mm' / package.replace('.', '/') / '__init__.py'
            lines += [f'## cream_mm.{package}', '', first_line(path), '']
        for name in names:
            lines += [
                f'::: cream_mm.{package}.{name}',
                '    options:',
                '      heading_level: 3',
                '',
            ]
    files = [path for path in sorted(home.rglob('*.py')) if path.name != '__init__.py']
    lines += ['## Files', '', '| file | what it holds |', '|---|---|']
    for path in files:
        lines.append(f'| `{path.relative_to(home)}` | {first_line(path)} |')
    return '\n'.join(lines) + '\n'


def index_page() -> str:
    """The rooms, lowest first."""
    lines = [
        '# API',
        '',
        'One page for each room of the package, lowest first: a room uses those above it in this',
        'list. A name is imported from the place that its heading says, or written in a config as',
        "`type='cream_mm.NAME'`.",
        '',
        '| room | what it holds |',
        '|---|---|',
    ]
    for room in rooms():
        text = first_line(ROOT / 'cream_mm' / room / '__init__.py')
        lines.append(f'| [{room}]({room}.md) | {text} |')
    return '\n'.join(lines) + '\n'


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages into the section called API."""
    (section,) = (entry['API'] for entry in config.nav if 'API' in entry)
    section += [{room: f'api/{room}.md'} for room in rooms()]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    files.append(File.generated(config, 'api/index.md', content=index_page()))
    for room in rooms():
        files.append(File.generated(config, f'api/{room}.md', content=room_page(room)))
    return files
