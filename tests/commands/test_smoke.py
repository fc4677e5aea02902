"""The command lines one after the other, as a user types them: search, export, retrain, detect."""

import html
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch
from PIL import Image

from cream_mm.checkpoints import load_weights
from cream_mm.commands.export_arch import outputs_of
from cream_mm.costs import build_cost_model
from cream_mm.spaces import NAOSpace
from cream_mm.testing import write_image_folder

ROOT = Path(__file__).resolve().parents[2]
TINY = ['batch_size=8', 'num_workers=0', 'input_size=32', 'max_epochs=2']
TINY += ['val_dataloader.batch_size=4']


def run(tool, *args, cwd, fails=False):
    """Run a tool in its own process; returns what it printed."""
    command = [sys.executable, str(ROOT / 'tools' / tool), *map(str, args)]
    env = {**os.environ, 'OMP_NUM_THREADS': '2'}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=280)
    assert (done.returncode != 0) == fails, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def write_coco(root):
    """Six images with one box each, of two categories, laid out like COCO."""
    (root / 'annotations').mkdir(parents=True)
    for split in ('train2017', 'val2017'):
        (root / split).mkdir()
        content = dict(images=[], annotations=[], categories=[])
        content['categories'] = [dict(id=3, name='left'), dict(id=7, name='right')]
        for i in range(6):
            Image.new('RGB', (64, 48), (40 * i, 80, 120)).save(root / split / f'{i}.jpg')
            content['images'].append(dict(id=i, file_name=f'{i}.jpg', width=64, height=48))
            box = [4 + 30 * (i % 2), 6, 24, 30]
            content['annotations'].append(
                dict(id=i + 1, image_id=i, category_id=(3, 7)[i % 2], bbox=box, area=720, iscrowd=0)
            )
        (root / 'annotations' / f'instances_{split}.json').write_text(json.dumps(content))
    return root


@pytest.fixture(scope='module')
def search(tmp_path_factory):
    """A finished search of two epochs on a folder of JPEGs, one of them truncated."""
    home = tmp_path_factory.mktemp('smoke')
    data = write_image_folder(home / 'data', classes=('ant', 'bee', 'cat'), train=14)
    damaged = data / 'train' / 'bee' / '005.jpg'
    damaged.write_bytes(damaged.read_bytes()[:300])
    text = run(
        'train.py',
        ROOT / 'configs/cream/search_imagenet.py',
        '--work-dir',
        home / 'search',
        '--cfg-options',
        *TINY,
        f'data_root={data}',
        'budget.macs_m=[2.5,3.2]',
        'model.backbone.space.depths=[1,1,1,1,1]',
        'test_dataloader.num_workers=0',
        'test_cfg.num_random=2',
        'default_hooks.logger.interval=1',
        cwd=home,
    )
    return home, data, text


def test_search_answers_within_budget(search):
    home, data, text = search
    best = json.loads((home / 'search/best_arch.json').read_text())
    assert 2.5 <= best['costs']['macs_m'] <= 3.2
    assert best['num_classes'] == 3 and best['input_size'] == [32, 32]
    assert sum(row['macs'] for row in best['layers']) == round(best['costs']['macs_m'] * 1e6)
    board = json.loads((home / 'search/board.json').read_text())
    rated = [r for r in board['rated'] if r['source'] == 'board']
    assert rated and best['arch'] in [r['arch'] for r in rated]
    assert best['rating']['loss'] == min(r['loss'] for r in rated)
    assert 'The data has 3 classes' in text
    assert re.search(r'unreadable image .*train/bee/005\.jpg', text)
    assert 'loss_kd' in text  # a teacher was at work


def test_the_screen_tells_what_matters_and_the_file_everything(search):
    home, _, text = search
    lines = [line for line in text.splitlines() if line.strip()]
    assert len(lines) < 60
    (log,) = (home / 'search').glob('*/*.log')
    log = log.read_text()
    assert len(log.splitlines()) > 500
    said = [
        re.sub(r'^\d\d/\d\d [\d:]{8} - mmengine - (INFO|WARNING) - ', '', line) for line in lines
    ]
    assert [line for line in said if line not in log] == []
    for word in ('data ', 'model ', 'space ', 'eta: ', 'accuracy/top1', 'best ', 'answer ', 'log '):
        assert any(line.strip().startswith(word) or word in line for line in said)
    for word in ('OneDL', 'System environment', 'paramwise', 'FileClient', 'custom_imports'):
        assert word not in text
    assert re.search(r'Done in (\d+ min )?\d+ s', text)


def test_the_next_commands_can_be_pasted(search):
    _, _, text = search
    export, report = commands(text)
    assert export == ['export_arch.py', 'search/best_arch.json', '--out', 'search/export']
    assert report == ['report.py', 'search']


def commands(text):
    """Those that a run ends with: each alone in its line, as a shell and its tool read it."""
    found = [shlex.split(line) for line in text.splitlines() if line.startswith('  python tools/')]
    for words in found:
        import_module(f'cream_mm.commands.{Path(words[1]).stem}').parse_args(words[2:])
    return [[Path(words[1]).name, *words[2:]] for words in found]


def test_resume_continues_with_the_board(search):
    home, data, _ = search
    checkpoint = torch.load(home / 'search/epoch_2.pth', map_location='cpu', weights_only=False)
    assert int(checkpoint['state_dict']['board.length']) >= 1
    assert 'meta_optimizer' in checkpoint


@pytest.mark.timeout(900)
def test_export_retrain_detect(search, call, monkeypatch):
    """What trains or tests, in a process of its own."""
    home, data, _ = search
    monkeypatch.chdir(home)
    text = called(call, 'export_arch.py', 'search/best_arch.json', '--out', 'export')
    assert 'weights' in text
    weights = load_weights(home / 'export/weights.pth')
    assert (
        'backbone.blocks.1.0.conv_pw.weight' in weights
        and len(weights['head.classifier.bias']) == 3
    )

    run('train.py', 'export/retrain.py', '--work-dir', 'retrain', '--cfg-options', *TINY[:2],
        'max_epochs=1', *TINY[4:], cwd=home)  # fmt: skip
    retrained = home / 'retrain/epoch_1.pth'
    text = run('test.py', 'retrain', cwd=home)
    assert re.search(r'retrain: retrain\.py and best_.*\.pth, the best checkpoint', text)
    assert re.search(r'result +accuracy/top1 \d+\.\d\d %', text)
    assert [p.name for p in (home / 'retrain').glob('*.py')] == ['retrain.py']

    coco = write_coco(home / 'coco')
    options = ['batch_size=2', 'num_workers=0', f'data_root={coco}/', 'max_epochs=1']
    options += [f'model.backbone.init_cfg.checkpoint={retrained}']
    # Without boxes, which so short a training need not have, mmdet gives no number.
    options += ['model.bbox_head.stacked_convs=1', 'model.test_cfg.score_thr=0.0']
    text = run('train.py', 'export/retinanet.py', '--work-dir', 'detector', '--cfg-options',
               *options, 'scale=[96,64]', cwd=home)  # fmt: skip
    assert 'scale: set in 3 places' in text
    assert 'The data has 2 classes' in text
    assert 'coco/bbox_mAP' in text
    detector = load_weights(home / 'detector/epoch_1.pth')
    assert len(detector['bbox_head.retina_cls.bias']) == 9 * 2
    test, onnx = commands(text)
    assert onnx == ['export_onnx.py', 'detector']
    (home / 'detector/drawn').mkdir()
    (home / 'detector/drawn/before.jpg').touch()
    text = run(*test, cwd=home)  # as it stands there
    assert f'drawn: 6 images in {test[-1]}' in text
    assert len(list((home / 'detector/drawn').iterdir())) == 6 + 1
    assert len(json.loads((home / 'detector/val.bbox.json').read_text())) > 0  # for the report
    called(call, 'report.py', 'search', '--retrain', 'retrain', '--detector', 'detector')
    page = html.unescape((home / 'search/report.html').read_text())
    made = page.split('How it was made')[1]
    assert 'budget.macs_m=[2.5,3.2]' in made and 'scale=[96,64]' in made
    assert made.index('train.py') < made.index('export_arch.py') < made.index('retrain.py')


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (['data_root=nowhere'], ['nowhere/train', 'train/<class>/*.jpg', 'data_root=FOLDER']),
        (['budget.macs_m=[0,1]'], ['macs_m=(0, 1) cannot be met', 'lie between']),
    ],
)
def test_one_clear_error(call, tmp_path, options, words):
    data = write_image_folder(tmp_path / 'data')
    config = ROOT / 'configs/cream/search_imagenet.py'
    options = ['--cfg-options', *TINY, f'data_root={data}', *options]
    text, _ = call('train.py', config, '--work-dir', tmp_path / 'bad', *options)
    assert text.startswith('error: ')
    for word in words:
        assert word in text


def called(call, *args):
    """What a tool printed that did well."""
    code, text = call(*args)
    assert not code, text
    return text


@pytest.fixture
def call(monkeypatch, capsys):
    """Run a tool as a script, but in this process: imports take longer than these commands."""

    def run_here(tool, *args):
        monkeypatch.setattr(sys, 'argv', [str(ROOT / 'tools' / tool), *map(str, args)])
        code = None
        try:
            runpy.run_path(sys.argv[0], run_name='__main__')
        except SystemExit as end:
            code = end.code
        return code, capsys.readouterr().out

    return run_here


def test_wrong_arch_name(call, tmp_path):
    text, _ = call('export_arch.py', 'cream-288m', '--out', tmp_path / 'x')
    assert "error: unknown architecture 'cream-288m'" in text and 'cream-287m' in text


def test_get_flops(call):
    _, text = call('get_flops.py', ROOT / 'configs/cream/retrain_imagenet.py')
    assert re.search(r'params +6\.044 M', text)
    assert re.search(r'macs +276\.26 M', text)
    assert re.search(r'published +287\.18 M', text)
    assert re.search(r'board +285\.51 M', text)


def test_get_flops_of_a_network(call):
    """By its name, as text and by its file, as its costs have it."""
    _, text = call('get_flops.py', 'cream-14m')
    assert 'network    cream-14m\n' in text and 'input      64 x 64' in text
    assert re.search(r'published +13\.84 M', text)
    arch = '1 1 0 1 2 4 0 0 0 0 2 1 0 0 0 2 0 3 0 0 0 2 0 2 2 2 1 0 0 0 0 1 0 0 0 3 0 0 0 1'
    _, text = call('get_flops.py', arch)
    space = NAOSpace()
    cost = build_cost_model(space, 32, 1000).cost(space.parse(arch)).in_units()
    assert 'input      32 x 32' in text and f'arch       {space.format(space.parse(arch))}' in text
    for name in ('params_m', 'macs_m', 'published_flops_m', 'board_flops_m'):
        digits = 3 if name == 'params_m' else 2
        assert re.search(rf'^{name.split("_")[0]} +{cost[name]:.{digits}f} M$', text, re.M)
    text, _ = call('get_flops.py', arch, '--cfg-options', 'num_classes=10')
    assert 'error: --cfg-options are for a config' in text
    text, _ = call('get_flops.py', 'cream-288m')
    assert 'error: no config file cream-288m, and no work directory of that name' in text


@pytest.mark.parametrize('tool', sorted(p.name for p in (ROOT / 'tools').glob('*.py')))
def test_help_shows_an_example(tool, call):
    code, text = call(tool, '--help')
    assert code == 0
    assert f'python tools/{tool}' in text


def test_the_outputs_that_a_detector_of_other_classes_needs(tmp_path):
    """All of its heads, those in lists too; none that has them."""
    config = tmp_path / 'detector.py'
    config.write_text(
        'model = dict(rpn_head=dict(num_classes=1), roi_head=dict(bbox_head=[dict(num_classes=80), '
        'dict(num_classes=7)], mask_head=dict(num_classes=80)))\n'
    )
    found = outputs_of(str(config), [str(i) for i in range(7)])
    assert 'model.roi_head.bbox_head.0.num_classes=7' in found
    assert 'model.roi_head.mask_head.num_classes=7' in found
    assert not any('bbox_head.1' in option or 'rpn_head' in option for option in found)
    assert outputs_of(str(config), None) == []
