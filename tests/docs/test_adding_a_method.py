"""The method of docs/adding_a_method.md, as it stands there: trained, searched and exported."""

import json
import re
import runpy
import shutil
import sys
import textwrap
from importlib import import_module
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import DefaultScope

import cream_mm
from cream_mm.models.layers.init import init_cream_weights
from cream_mm.registry import MODELS, TASK_UTILS
from cream_mm.testing import tiny_samples, tiny_space, write_image_folder

pytest_plugins = 'pytester'

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / 'docs/adding_a_method.md'
TINY = [
    'batch_size=4', 'input_size=16', 'num_workers=0', 'max_epochs=6', 'budget.macs_m=[0,1.5]',
    'model.backbone.space.depths=[2,2]', 'model.backbone.space.widths=[16,24]',
    'model.backbone.space.strides=[2,1]', 'model.backbone.space.stem_channels=8',
    'model.backbone.space.choices=[[3,4],[5,6]]', 'model.backbone.space.final_channels=320',
    'train_dataloader.persistent_workers=False', 'val_dataloader.persistent_workers=False',
]  # fmt: skip


def files_of_the_page():
    """Path of each file of the page, and its text."""
    found = re.findall(
        r'^`([\w/]+\.py)`[^\n]*\n\n```python\n(.+?)```', PAGE.read_text(), re.M | re.S
    )
    return dict(found)


def contract_of_the_page():
    (block,) = re.findall(r'\n    ```python\n(.+?)    ```', PAGE.read_text(), re.S)
    return textwrap.dedent(block)


@pytest.fixture(scope='module')
def home(tmp_path_factory):
    """The page's files, with ``configs/`` beside them; the method is registered."""
    home = tmp_path_factory.mktemp('method')
    shutil.copytree(ROOT / 'configs', home / 'configs')
    for name, text in files_of_the_page().items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    methods = cream_mm.methods
    methods.__path__.append(str(home / 'cream_mm/methods'))
    package = import_module('cream_mm.methods.inplace')
    yield home
    methods.__path__.pop()
    for name in package.__all__:
        for registry in (MODELS, TASK_UTILS):
            registry._module_dict.pop(name, None)
    for name in [name for name in sys.modules if name.startswith('cream_mm.methods.inplace')]:
        del sys.modules[name]
    delattr(methods, 'inplace')


def tool(name, *args):
    return runpy.run_path(str(ROOT / f'tools/{name}.py'))['main']([str(arg) for arg in args])


@pytest.fixture(scope='module')
def search(home):
    """A finished search of a few steps."""
    data = write_image_folder(home / 'data', train=16, size=(16, 16))
    config = home / 'configs/inplace/search_imagenet.py'
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        tool('train', config, '--work-dir', home / 'search', '--cfg-options',
             f'data_root={data}', *TINY)  # fmt: skip
    return home / 'search'


def test_the_page_has_the_files():
    assert sorted(files_of_the_page()) == [
        'configs/inplace/search_imagenet.py',
        'cream_mm/methods/inplace/__init__.py',
        'cream_mm/methods/inplace/inplace.py',
    ]


def test_it_trains_and_answers(search):
    log = [json.loads(line) for line in (search / 'path_log.jsonl').read_text().splitlines()]
    assert [row['step'] for row in log] == list(range(len(log))) and len(log) > 30
    costliest = log[0]['arch']
    # Every fourth step is the teacher's own; the others have its loss beside theirs.
    assert all(row['arch'] == costliest for row in log[::4])
    for row in log:
        assert ('teacher_loss' in row) == (row['arch'] != costliest)
    answer = json.loads((search / 'best_arch.json').read_text())
    assert 0 < answer['costs']['macs_m'] <= 1.5 and answer['inplace'] == dict(share=0.5)
    front = json.loads((search / 'front.json').read_text())
    assert front['answer']['arch'] == answer['arch'] and len(front['steps']) > 1
    names = {row['name']: row['arch'] for row in front['references']}
    assert names['costliest'] == costliest


def test_it_is_searched_further_and_exported(search, home):
    checkpoint = (search / 'last_checkpoint').read_text().strip()
    config = home / 'configs/inplace/search_imagenet.py'
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        tool('search', config, checkpoint, '--strategy', 'random', '--num', 2,
             '--work-dir', home / 'further', '--cfg-options', f'data_root={home / "data"}',
             *TINY)  # fmt: skip
        rated = json.loads((home / 'further/search.json').read_text())['rated']
        assert [row['source'] for row in rated[:2]] == ['given', 'given']
        tool('export_arch', search / 'best_arch.json', '--out', home / 'export')
    kept = json.loads((home / 'export/arch.json').read_text())
    assert kept['inplace'] == dict(share=0.5)
    retrain = Config.fromfile(str(home / 'export/retrain.py'))
    answer = json.loads((search / 'best_arch.json').read_text())
    assert retrain.model.backbone.arch == answer['arch']
    model = cream_mm.create_model(
        str(home / 'export/arch.json'), checkpoint=str(home / 'export/weights.pth')
    )
    assert model(torch.zeros(1, 3, 16, 16)).shape == (1, 2)


def build(share):
    space = tiny_space()
    model = dict(
        type='cream_mm.InplaceDistillation',
        share=share,
        backbone=dict(
            type='cream_mm.CreamSupernet', space=space.to_dict(), costs=dict(input_size=8)
        ),
        head=dict(type='cream_mm.CreamClsHead', num_classes=3, in_channels=32, hidden_channels=16),
    )
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MMENGINE_MODELS.build(model)
    init_cream_weights(model)
    return model


def test_the_laws_of_the_loss(home):
    images, samples = torch.rand(4, 3, 8, 8), tiny_samples([0, 1, 2, 0])
    model = build(share=0.0)
    model.backbone.set_arch(model.backbone.space.decode([0, 1, 1, 0]))
    norms = [m for m in model.backbone.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    losses = model.loss(images, samples)
    assert losses['loss_kd'] == 0 and losses['loss_cls'] == model.path_losses()['loss']
    with model.backbone.using(model.backbone.arch):
        on_path = {id(m) for m in model.backbone.path_modules()}
    counts = [int(m.num_batches_tracked) for m in norms]
    assert counts == [int(id(m) in on_path) for m in norms]  # the teacher moved none
    model.backbone.set_arch(model.teacher)
    assert set(model.loss(images, samples)) == {'loss_cls'}
    assert model.path_to_validate() == model.teacher == model.backbone.space.decode([1] * 4)
    model.forget_step()
    assert model.path_losses() is None


def test_its_contract_holds(home, pytester):
    pytester.makepyfile(contract_of_the_page())
    pytester.runpytest_inprocess('-p', 'no:cacheprovider').assert_outcomes(passed=4)


def test_it_keeps_the_law_of_the_rooms(home):
    law = runpy.run_path(str(ROOT / 'tests/test_rooms.py'))
    law['imported'].__globals__['ROOT'] = home / 'cream_mm'
    for name in ('inplace.py', '__init__.py'):
        path = Path('methods/inplace', name)
        law['test_imports_run_down'](path)
        law['test_no_shared_room_names_a_method'](path)
    assert ('registry', 'MODELS') in law['imported'](Path('methods/inplace/inplace.py'))
