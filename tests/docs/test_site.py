"""What the site is built by: its hooks, its navigation, and pages that read alike on GitHub."""

import json
import re
import runpy
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / 'docs').rglob('*.md'))


@pytest.fixture
def hook(monkeypatch):
    """A function: what a hook defines, without mkdocs."""
    for name in ('config.defaults', 'structure.files', 'structure.pages'):
        names = ('MkDocsConfig', 'File', 'Files', 'InclusionLevel', 'Page')
        module = ModuleType(f'mkdocs.{name}')
        for word in names:
            setattr(module, word, SimpleNamespace(generated=lambda config, uri, **kw: (uri, kw)))
        monkeypatch.setitem(sys.modules, f'mkdocs.{name}', module)
    monkeypatch.setitem(sys.modules, 'griffe', SimpleNamespace(Extension=object, Object=object))
    return lambda name: runpy.run_path(str(ROOT / f'docs/hooks/{name}.py'))


def test_links_out_of_docs(hook):
    outside = hook('source_links')['outside']
    assert outside('../configs/cream/x.py', 'model_zoo.md') == 'configs/cream/x.py'
    assert outside('../scaling.md', 'results/index.md') is None
    assert outside('../../README.md', 'results/index.md') == 'README.md'


def test_public_names_are_those_of_the_package(hook):
    names = hook('public_names')
    places = names['places']()
    assert places['CreamNet'] == 'cream_mm.models.CreamNet'
    assert places['SearchLoop'].startswith('cream_mm.engine')
    assert 'RMSpropTF' not in places  # timm's
    rooms = runpy.run_path(str(ROOT / 'tests/test_rooms.py'))['ROOMS']
    assert names['rooms']() == tuple(room for room in rooms if (ROOT / 'cream_mm' / room).is_dir())
    text = hook('api_pages')['room_page']('structures')
    assert '::: cream_mm.structures.Arch\n' in text and '| `arch.py` | ' in text


def test_docstrings_become_markdown(hook):
    roles = hook('docstrings')['Roles']()
    doc = SimpleNamespace(
        value='See :class:`CreamNet`, :meth:`Space.decode`.\n\n>>> f([1])\n[[2]]\n\nMore.'
    )
    roles.on_object(obj=SimpleNamespace(docstring=doc))
    assert doc.value == (
        'See [`CreamNet`][cream_mm.models.CreamNet], `Space.decode`.\n\n'
        '```pycon\n>>> f([1])\n[[2]]\n```\n\nMore.'
    )


def test_a_notebook_as_a_page(hook):
    content = dict(
        cells=[
            dict(cell_type='markdown', source=['# Title\n', 'text']),
            dict(
                cell_type='code',
                source='!ls',
                outputs=[dict(text='\x1b[32ma\x1b[0m\n'), dict(data={'image/png': 'QUI='})],
            ),
        ]
    )
    pictures = {}
    page = hook('notebooks')['page_of'](json.loads(json.dumps(content)), pictures, 'nb')
    assert page.startswith('# Title\ntext\n\n```` bash\n!ls\n````\n')
    assert '```` text\na\n````' in page and '](nb_0.png)' in page
    assert pictures == {'nb_0.png': b'AB'}


def test_the_navigation_has_each_page_once():
    text = (ROOT / 'mkdocs.yml').read_text().partition('\nnav:\n')[2]
    listed = re.findall(r'[\w/]+\.(?:md|ipynb)$', text, flags=re.M)
    made = {'changelog.md', 'api/index.md', 'notebooks/quick_start.md'}
    pages = {page.relative_to(ROOT / 'docs').as_posix() for page in PAGES}
    assert sorted(listed) == sorted(pages | made)


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_lists_read_alike_on_github_and_the_site(page):
    """Python-Markdown nests by four blanks, and joins an item to a paragraph right above it."""
    before, fence = '', False
    for number, line in enumerate(page.read_text().splitlines(), start=1):
        where = f'{page.name}, line {number}: {line}'
        item = re.match(r' *([*-]|\d+\.) ', line)
        if not fence:
            assert not re.match(r' {1,3}(```|\||[*-] )', line), f'{where}: four blanks'
            if not before:
                assert not re.match(r' {1,3}\S', line), f'{where}: four blanks'
            if item and before and not re.match(r'( *([*-]|\d+\.) | {2,3}\S)', before):
                pytest.fail(f'{where}: a blank line before it')
        if re.match(r' *```', line):
            fence = not fence
        before = line


def test_pictures_are_small_and_used():
    text = '\n'.join(page.read_text() for page in [ROOT / 'README.md', *PAGES])
    for picture in (ROOT / 'docs/images').iterdir():
        assert picture.name in text, picture.name
        assert picture.stat().st_size < 200_000, picture.name
