"""Hook of mkdocs: a notebook is a page, with the output that was saved in it."""

import base64
import json
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ESCAPES = re.compile(r'\x1b\[[0-9;]*[A-Za-z]')


def joined(text: str | list[str]) -> str:
    """Text of a notebook, which may be a list of lines."""
    return text if isinstance(text, str) else ''.join(text)


def fenced(text: str, language: str) -> str:
    """A block of code or output."""
    return f'```` {language}\n{text.rstrip()}\n````\n' if text.strip() else ''


def page_of(content: dict, pictures: dict[str, bytes], stem: str) -> str:
    """Markdown of a notebook; its pictures are added to ``pictures`` by name."""
    parts = []
    for cell in content['cells']:
        source = joined(cell['source'])
        if cell['cell_type'] != 'code':
            parts.append(source)
            continue
        parts.append(fenced(source, 'bash' if source.startswith('!') else 'python'))
        for output in cell.get('outputs', ()):
            data = output.get('data', {})
            if 'image/png' in data:
                name = f'{stem}_{len(pictures)}.png'
                pictures[name] = base64.b64decode(joined(data['image/png']))
                parts.append(f'![Output of the cell above]({name})')
            else:
                text = joined(output.get('text') or data.get('text/plain') or '')
                parts.append(fenced(ESCAPES.sub('', text), 'text'))
    return '\n\n'.join(parts) + '\n'


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Put a page and its pictures in the place of each notebook."""
    for file in [file for file in files if file.src_uri.endswith('.ipynb')]:
        path = Path(file.abs_src_path)
        pictures: dict[str, bytes] = {}
        text = page_of(json.loads(path.read_text()), pictures, path.stem)
        files.remove(file)
        folder = posixpath.dirname(file.src_uri)
        files.append(File.generated(config, f'{folder}/{path.stem}.md', content=text))
        for name, picture in pictures.items():
            files.append(File.generated(config, f'{folder}/{name}', content=picture))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links to notebooks, which open on GitHub, to their pages."""
    return re.sub(r'(\]\([^)\s:]+)\.ipynb\)', r'\1.md)', markdown)
