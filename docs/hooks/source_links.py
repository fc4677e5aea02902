"""Hook of mkdocs: links that leave docs/ lead to pages that show the file; CHANGELOG is a page.

On GitHub ``../configs/x.py`` opens the file. The site has no such place, so each linked file gets a
page of its own, which the navigation does not list.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r'(?<=\]\()(\.\./[^)#\s]+)')
LANGUAGES = {'.py': 'python', '.yml': 'yaml', '.json': 'json', '.cfg': 'ini'}


def outside(link: str, page: str) -> str | None:
    """Path from the repository's root of a link that leaves docs/; None of one that stays."""
    target = posixpath.normpath(posixpath.join('docs', posixpath.dirname(page), link))
    return None if target.startswith('docs/') else target


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the changelog, and a page for each file that a page links."""
    text = (ROOT / 'CHANGELOG.md').read_text().replace('](docs/', '](')
    files.append(File.generated(config, 'changelog.md', content=text))
    named = set()
    for file in files.documentation_pages():
        if file.src_uri.endswith('.md'):
            links = LINK.findall(file.content_string)
            named |= {outside(link, file.src_uri) for link in links} - {None}
    for name in sorted(named):
        path = ROOT / name
        if path.is_file():  # else mkdocs says that the link leads nowhere
            text = path.read_text()
            fence = '`' * (max(map(len, re.findall('`+', text)), default=2) + 1)
            page = f'# {name}\n\n{fence} {LANGUAGES.get(path.suffix, "text")}\n{text}\n{fence}\n'
            page = f'---\nsearch: {{exclude: true}}\n---\n{page}'
            files.append(
                File.generated(
                    config, f'source/{name}.md', content=page, inclusion=InclusionLevel.NOT_IN_NAV
                )
            )
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links that leave docs/ to the pages of :func:`on_files`."""
    here = page.file.src_uri

    def rewritten(match: re.Match) -> str:
        target = outside(match[1], here)
        if target is None or f'source/{target}.md' not in files.src_uris:
            return match[1]
        return posixpath.relpath(f'source/{target}.md', posixpath.dirname(here) or '.')

    return LINK.sub(rewritten, markdown)
