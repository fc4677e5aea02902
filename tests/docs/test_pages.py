"""README, CHANGELOG and docs/: what they link and name is there, and their commands are known."""

import re
import runpy
import shlex
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / 'README.md', ROOT / 'CHANGELOG.md', *sorted((ROOT / 'docs').rglob('*.md'))]
PAGE_IDS = [page.relative_to(ROOT).as_posix() for page in PAGES]
FOLDERS = ('benchmarks', 'configs', 'constraints', 'cream_mm', 'docs', 'tests', 'tools')


def headings(page):
    """Anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r'^#+ (.+)$', page.read_text(), flags=re.MULTILINE)
    return {re.sub(r'[^\w -]', '', title.lower()).replace(' ', '-') for title in titles}


def commands(text):
    """Command lines of ``python tools/...`` in shell blocks, split as a shell does."""
    for block in re.findall(r'```bash\n(.+?)```', text, flags=re.DOTALL):
        for line in block.replace('\\\n', ' ').splitlines():
            words = shlex.split(line, comments=True)
            if 'python' in words[:-1] and words[words.index('python') + 1].startswith('tools/'):
                yield words[words.index('python') + 1 :]


@pytest.mark.parametrize('page', PAGES, ids=PAGE_IDS)
def test_links_lead_somewhere(page):
    for link in re.findall(r'\]\(([^)\s]+)\)', page.read_text()):
        if link.startswith('http'):
            continue
        name, _, anchor = link.partition('#')
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not anchor or anchor in headings(target), link


@pytest.mark.parametrize('page', PAGES, ids=PAGE_IDS)
def test_files_that_are_named_are_there(page):
    pattern = rf'(?<![\w/.])(?:{"|".join(FOLDERS)})/[\w./-]+\.(?:py|md|txt|json|yml)\b'
    text = page.read_text()
    given = re.findall(r'^`([^`]+)`[^\n]*\n\n```python', text, flags=re.MULTILINE)  # by the page
    for name in re.findall(pattern, text):
        if name not in given and not name.endswith('/NAME.py'):
            assert (ROOT / name).is_file(), name


def test_every_page_is_linked_from_another():
    linked = {
        (page.parent / link.partition('#')[0]).resolve()
        for page in PAGES
        for link in re.findall(r'\]\(([^)\s]+)\)', page.read_text())
        if not link.startswith('http')
    }
    pages = [page for page in PAGES if page.parent != ROOT]
    assert [page.name for page in pages if page not in linked] == []


def test_the_tree_has_each_room_and_folder():
    tree = (ROOT / 'docs/repository.md').read_text().split('```')[1]
    rooms = {path.parent.name for path in (ROOT / 'cream_mm').glob('*/__init__.py')}
    rooms |= {path.name for path in (ROOT / 'configs').iterdir() if path.name[0] not in '_.'}
    rooms -= {'__pycache__', 'retinanet_cream.py'}
    assert rooms <= set(re.findall(r'([\w]+)/', tree))
    assert set(FOLDERS) <= set(re.findall(r'^(\w+)/', tree, flags=re.MULTILINE))
    # Lowest first, as the law has them.
    order = re.findall(r'^  (\w+)/  ', tree.split('configs/')[0], flags=re.MULTILINE)
    assert order == list(runpy.run_path(str(ROOT / 'tests/test_rooms.py'))['ROOMS'])


def test_every_tool_is_in_the_table():
    text = (ROOT / 'docs/tools.md').read_text()
    tools = {path.name for path in (ROOT / 'tools').glob('*.py')}
    assert set(re.findall(r'^\| `tools/(\w+\.py)', text, flags=re.MULTILINE)) == tools


def options_of(tool):
    """Options that a tool defines, read off its text: to run each would take seconds."""
    module = ROOT / 'cream_mm/commands' / Path(tool).name
    return set(re.findall(r"'(--[\w-]+)'", module.read_text()))


def test_commands_are_what_the_tools_take():
    found = [(page, words) for page in PAGES for words in commands(page.read_text())]
    assert len(found) > 20
    for page, (tool, *args) in found:
        given = {arg for arg in args if arg.startswith('--')}
        assert given <= options_of(tool), f'{page.name}: {tool} {given - options_of(tool)}'


def test_make_targets_exist():
    targets = set(re.findall(r'^([a-z-]+):', (ROOT / 'Makefile').read_text(), flags=re.MULTILINE))
    for page in PAGES:
        text = page.read_text()
        named = re.findall(r'^make ([a-z-]+)', text, flags=re.MULTILINE)
        named += re.findall(r'`make ([a-z-]+)', text)
        assert set(named) <= targets, page.name
    assert '\nmake test\n' in (ROOT / 'README.md').read_text()


def test_tests_of_a_family_are_there():
    text = (ROOT / 'Makefile').read_text().replace('\\\n', ' ')
    (names,) = re.findall(
        r'^FAMILY_TESTS := \$\(addprefix tests/,(.+)\)$', text, flags=re.MULTILINE
    )
    names = names.split()
    assert len(names) > 5
    for name in names:
        path = ROOT / 'tests' / name
        assert path.is_file() or list(path.rglob('test_*.py')), name


@pytest.mark.parametrize('page', PAGES, ids=PAGE_IDS)
def test_python_on_a_page_is_python(page):
    blocks = re.findall(r'^( *)```python\n(.+?)^ *```', page.read_text(), flags=re.M | re.S)
    for indent, block in blocks:
        compile(re.sub(rf'^{indent}', '', block, flags=re.M), page.name, 'exec')


def test_the_detector_of_the_readme():
    """Its config, around a published network: a list of maps for the neck, as it says."""
    text = (ROOT / 'README.md').read_text()
    (block,) = re.findall(r'```python\n(_base_.+?)```', text, flags=re.S)
    block = block.replace("'work_dirs/export/arch.json'", "'cream-287m'")
    block = re.sub(r'init_cfg=dict\(.+?\n        \),', 'init_cfg=None,', block, flags=re.S)
    cfg = Config.fromstring(block, '.py')
    with torch.device('meta'), DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg.model)
        maps = model.extract_feat(torch.empty(1, 3, 64, 64))
    assert cfg.model.neck.in_channels == list(model.backbone.out_channels)
    assert [64 // x.shape[-1] for x in maps][:3] == [8, 16, 32]  # FPN of mmdet starts at level 1
