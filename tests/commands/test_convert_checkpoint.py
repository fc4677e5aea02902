"""The command line, and what it tells to run next."""

import collections
import json
import os
import pickle
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import mmpretrain
import pytest
import torch
from mmengine.config import Config

import cream_mm
from cream_mm.apis.export_arch import export_arch
from cream_mm.checkpoints.official import OfficialLayout
from cream_mm.converters.to_official import to_official
from cream_mm.testing import write_image_folder

ROOT = Path(__file__).resolve().parents[2]
UNPUBLISHED = [[0], [3], [3, 1], [3, 3], [2], [5], [0]]


@pytest.fixture
def convert(monkeypatch, capsys):
    """Run the tool as a script, but in this process; gives its output, or its error."""

    def run_here(*args):
        tool = str(ROOT / 'tools/convert_checkpoint.py')
        monkeypatch.setattr(sys, 'argv', [tool, *map(str, args)])
        try:
            runpy.run_path(tool, run_name='__main__')
        except SystemExit as end:
            return str(end.code)
        return capsys.readouterr().out

    return run_here


def write_official(path, arch='cream-14m', num_classes=1000):
    """A file as the released code leaves it, averaged weights included."""
    torch.manual_seed(0)
    weights = to_official(cream_mm.create_model(arch, num_classes).state_dict())
    weights['classifier.bias'][0] = 2  # no other weights give this network's scores
    raw = collections.OrderedDict((f'module.{k}', torch.zeros_like(v)) for k, v in weights.items())
    content = dict(epoch=3, arch='model', state_dict=raw, state_dict_ema=weights, version=2)
    torch.save(content, path, _use_new_zipfile_serialization=False)
    return path


def write_supernet(path, num_classes=3, num_images=2):
    layout = OfficialLayout((1, 1, 4, 1, 1), num_classes, None, num_images, True)
    torch.save(dict(state_dict={k: torch.ones(s) for k, s in layout.shapes().items()}), path)
    return path


def next_steps(text):
    """The commands that were printed, each as a list of words."""
    commands = text.split('\nnext\n')[1].replace('\\\n', ' ').strip().split('\n')
    return [shlex.split(command) for command in commands]


def options(command):
    """What follows --cfg-options."""
    return dict(word.split('=', 1) for word in command[command.index('--cfg-options') + 1 :])


def test_a_published_network(convert, tmp_path):
    dst = tmp_path / 'net.pth'
    text = convert(write_official(tmp_path / '14.pth.tar'), dst)
    assert 'cream-14m, arch [[0],[0],[3,3],[3,3],[1],[3],[0]]' in text
    assert re.search(r'weights +state_dict_ema, the averaged weights', text)
    assert re.search(r'tensors +186, 2,673,096 parameters', text)
    assert 'note' not in text and not dst.with_suffix('.json').exists()
    test, detector = next_steps(text)
    assert test[:4] == ['python', 'tools/test.py', 'configs/cream/retrain_cream-14m.py', str(dst)]
    assert options(test) == {'data_root': 'FOLDER'}
    assert detector[:3] == ['python', 'tools/train.py', 'configs/retinanet_cream.py']
    cfg = Config.fromfile(ROOT / detector[2])
    cfg.merge_from_dict(options(detector))
    assert cfg.model.backbone.arch == 'cream-14m'
    assert cfg.model.backbone.init_cfg == dict(
        type='Pretrained', checkpoint=str(dst), prefix='backbone.'
    )


def test_a_network_that_is_not_published(convert, tmp_path):
    dst = tmp_path / 'my net.pth'  # a blank in the name
    text = convert(write_official(tmp_path / 'x.pth.tar', UNPUBLISHED, 3), dst)
    assert 'not a published one, arch [[0],[3],[3,1],[3,3],[2],[5],[0]]' in text
    assert re.search(r'classes +3\n', text) and '224' in text
    arch_file = tmp_path / 'my net.json'
    assert f'\n           {arch_file}\n' in text
    test, detector = next_steps(text)
    assert test[3] == str(dst) and options(test)['num_classes'] == '3'
    assert options(test)['model.backbone.arch'] == str(arch_file)
    assert options(detector)['model.backbone.arch'] == str(arch_file)
    assert json.loads(arch_file.read_text())['arch'] == UNPUBLISHED


def test_a_supernet(convert, tmp_path):
    dst = tmp_path / 'net.pth'
    text = convert(write_supernet(tmp_path / 'x.pth.tar'), dst)
    assert 'a supernet of depths [1, 1, 4, 1, 1], 6 choices per layer' in text
    assert re.search(r'note +dropped blocks.3.4.\* \(132 tensors\)', text)
    export, train = next_steps(text)
    assert export[:2] == ['python', 'tools/export_arch.py']
    assert options(train) == {
        'load_from': str(dst), 'model.backbone.space.depths': '[1,1,4,1,1]',
        'model.board.num_images': '2', 'num_classes': '3', 'data_root': 'FOLDER',
    }  # fmt: skip

    files = export_arch(export[2], str(dst), str(tmp_path / 'export'), root=str(ROOT))
    model = cream_mm.create_model(str(files['arch']), checkpoint=str(files['weights']))
    assert model.head.num_classes == 3


def test_to_official_and_back(convert, tmp_path):
    src = write_official(tmp_path / '14.pth.tar')
    convert(src, tmp_path / 'a.pth')
    text = convert(tmp_path / 'a.pth', tmp_path / 'b.pth.tar', '--to', 'official')
    assert 'cream-14m' in text and 'state_dict_ema' in text
    expected = torch.load(src, weights_only=True)['state_dict_ema']
    content = torch.load(tmp_path / 'b.pth.tar', weights_only=True)
    for entry in ('state_dict', 'state_dict_ema'):
        assert list(content[entry]) == list(expected)
        assert all(torch.equal(content[entry][k], v) for k, v in expected.items())


def test_one_clear_error(convert, tmp_path):
    other = tmp_path / 'other.pth'
    torch.save({'conv1.weight': torch.zeros(3)}, other)
    for src, words in [
        (tmp_path / 'gone.pth', 'no checkpoint'),
        (other, 'cannot be converted: it is not a Cream checkpoint'),
        (ROOT / 'README.md', 'is not a readable checkpoint'),
    ]:
        text = convert(src, tmp_path / 'x.pth')
        assert text.startswith('error: ') and words in text
        assert not (tmp_path / 'x.pth').exists()


@pytest.mark.slow
def test_the_printed_command_runs(convert, tmp_path):
    """Convert, then evaluate by the command that was printed."""
    data = write_image_folder(tmp_path / 'data')
    dst = tmp_path / 'net.pth'
    text = convert(write_official(tmp_path / '14.pth.tar', num_classes=2), dst)
    command = [sys.executable, *next_steps(text)[0][1:]]
    command = [word.replace('FOLDER', str(data)) for word in command] + ['num_workers=0']
    command += ['test_dataloader.batch_size=4', '--work-dir', str(tmp_path / 'work')]
    command += ['--out', str(tmp_path / 'predictions.pkl')]
    env = {**os.environ, 'OMP_NUM_THREADS': '1'}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=280)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output[-3000:]
    assert 'accuracy/top1' in output and f'Load checkpoint from {dst}' in output
    for complaint in ('do not match', 'size mismatch', 'missing keys', 'unexpected key'):
        assert complaint not in output
    # Those very weights gave the predictions.
    model = cream_mm.create_model('cream-14m', num_classes=2, checkpoint=str(dst))
    predictions = pickle.loads((tmp_path / 'predictions.pkl').read_bytes())
    assert len(predictions) == 8
    for prediction in predictions:
        image = prediction['img_path']
        expected = mmpretrain.inference_model(model, image)['pred_scores']
        assert expected[0] > 0.75
        assert prediction['pred_score'].tolist() == pytest.approx(expected.tolist(), abs=0.02)
