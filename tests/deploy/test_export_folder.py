"""From a work directory to a folder that runs without it."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from cream_mm.apis.predict import open_model, predict
from cream_mm.apis.time_networks import fit_norms
from cream_mm.commands.export_onnx import main, parse_args
from cream_mm.deploy import export_folder as module
from cream_mm.deploy.export_folder import export
from cream_mm.deploy.onnx_file import read_about, write_about
from cream_mm.deploy.runtimes import onnxruntime_session
from cream_mm.registry import MODELS
from cream_mm.testing.tiny import tiny_space, write_image_folder

CLASSES = ('ant', 'bee')
PIPELINE = [
    dict(type='cream_mm.LoadImageFromFile'),
    dict(type='ResizeEdge', scale=28, edge='short'),
    dict(type='CenterCrop', crop_size=24),
    dict(type='PackInputs'),
]


@pytest.fixture(scope='module')
def work_dir(tmp_path_factory):
    """A run's folder, with the average of its weights beside what was trained, and its images."""
    root = tmp_path_factory.mktemp('run')
    data = write_image_folder(root / 'data', classes=CLASSES, train=1, val=3, size=(40, 33))
    network = dict(arch=[[0], [0, 1], [1, 0], [0]], space=tiny_space().to_dict())
    cfg = Config(
        dict(
            default_scope='mmpretrain',
            model=dict(
                type='mmpretrain.ImageClassifier',
                backbone=dict(type='cream_mm.CreamNet', **network),
                head=dict(type='cream_mm.CreamClsHead', num_classes=2, in_channels=32),
                data_preprocessor=dict(
                    type='mmpretrain.ClsDataPreprocessor', mean=[120.0, 110.0, 100.0],
                    std=[60.0, 61.0, 62.0], to_rgb=True,
                ),
            ),
            val_dataloader=dict(
                dataset=dict(
                    type='cream_mm.ImageFolder', data_root=str(data), folder='val',
                    pipeline=PIPELINE,
                )
            ),
        )
    )  # fmt: skip
    cfg.test_dataloader = cfg.val_dataloader
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg.model)
    fit_norms(model, (4, 3, 24, 24))
    cfg.dump(str(root / 'config.py'))
    meta = dict(dataset_meta=dict(classes=CLASSES))
    content = dict(state_dict=model.state_dict(), ema_state_dict={}, meta=meta)
    torch.save(content, root / 'epoch_1.pth')
    return root


def test_a_work_directory_becomes_a_folder_that_runs_without_it(work_dir, tmp_path, capsys):
    path = export(str(work_dir), dynamic_size=True)
    assert path == work_dir / 'onnx/model.onnx'
    lines = capsys.readouterr().out
    assert 'averaged (EMA)' in lines and '6 photographs as the config prepares them' in lines
    assert 'verdict: the file does what the PyTorch model does' in lines
    about = read_about(path)
    assert about['classes'] == list(CLASSES)
    assert about['input'] == dict(
        order='RGB', range=[0, 255], size=[24, 24], dynamic=['batch', 'size']
    )
    assert about['normalisation'] == dict(
        in_graph=True, mean=[120.0, 110.0, 100.0], std=[60.0, 61.0, 62.0]
    )
    digest = hashlib.sha256((work_dir / 'epoch_1.pth').read_bytes()).hexdigest()
    assert about['weights'] == dict(file='epoch_1.pth', sha256=digest, ema=True)
    record = json.loads((path.parent / 'export.json').read_text())
    assert record['checks']['onnxruntime']['images'] == 6
    assert dict(record['about'], format=1) == about

    # Where neither torch nor OpenCV nor this package can be imported, it says what predict says.
    photos = sorted((work_dir / 'data/val').rglob('*.jpg'))
    blocker = 'import sys\nfor name in ("torch", "cv2", "mmcv", "mmengine", "cream_mm", "onnx"):\n'
    (tmp_path / 'sitecustomize.py').write_text(blocker + '    sys.modules[name] = None\n')
    result = subprocess.run(
        [sys.executable, str(path.parent / 'run_onnx.py'), str(path), *map(str, photos)],
        capture_output=True, text=True, env=dict(PYTHONPATH=str(tmp_path), OMP_NUM_THREADS='1'),
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    said = [line.split() for line in result.stdout.splitlines() if '%' in line]
    expected = [label for p in predict(open_model(str(work_dir)), photos) for label in p.found]
    assert len(said) == len(expected) == 12
    for (number, _, name), label in zip(said, expected):
        assert name == label.name
        assert float(number) == pytest.approx(100 * label.score, abs=0.06)


def test_another_size_and_one_batch_alone(work_dir, tmp_path, capsys):
    earlier = onnx.ModelProto(ir_version=8)
    keys = ('classes', 'input', 'normalisation', 'resize', 'outputs', 'weights')
    write_about(earlier, dict(dict.fromkeys(keys), task='maps'))
    onnx.save(earlier, tmp_path / 'model.int8.onnx')
    path = export(str(work_dir), out=tmp_path, size=(18, 24), batch=2, check_images=3)
    assert not (tmp_path / 'model.int8.onnx').exists()
    assert 'removed model.int8.onnx of an earlier export' in capsys.readouterr().out
    about = read_about(path)
    assert about['input'] == dict(order='RGB', range=[0, 255], size=[18, 24], dynamic=[], batch=2)
    assert (about['resize']['size'], about['resize']['crop']) == (28, [18, 24])
    shape = onnx.load(path).graph.input[0].type.tensor_type.shape
    assert [dim.dim_value for dim in shape.dim] == [2, 3, 18, 24]
    found = onnxruntime_session(path)(np.zeros((2, 3, 18, 24), np.float32))
    assert list(found) == ['probabilities']


def test_a_file_that_is_wrong_is_set_aside(work_dir, tmp_path, monkeypatch):
    def wrong(path):
        run = onnxruntime_session(path)
        return lambda image: run(image[:, ::-1].copy())

    (tmp_path / 'model.bin').touch()  # none of ours
    monkeypatch.setattr(module, 'onnxruntime_session', wrong)
    with pytest.raises(ValueError, match='do not use this file.*It is called .*model.failed.onnx'):
        export(str(work_dir), out=tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        'export.json', 'model.bin', 'model.failed.onnx', 'run_onnx.py'
    ]  # fmt: skip
    assert not json.loads((tmp_path / 'export.json').read_text())['checks']['onnxruntime']['passed']


def test_images_that_are_gone_are_said(work_dir, tmp_path, capsys):
    options = {'val_dataloader.dataset.data_root': '/nowhere'}
    export(str(work_dir), out=tmp_path, cfg_options=options)
    lines = capsys.readouterr().out
    assert 'the validation set is not there' in lines
    assert 'photographs: not compared' in lines


@pytest.mark.parametrize(
    'words, message',
    [
        (['a', '--batch', '0'], '--batch: it is at least 1'),
        (['a', '--size', '0', '3'], '--size: sides are at least 1'),
        (['a', '--check-images', '0'], '--check-images: it is at least 1'),
    ],
)
def test_arguments_out_of_range(words, message, capsys):
    with pytest.raises(SystemExit):
        parse_args(words)
    assert message in capsys.readouterr().err


def test_a_config_alone_has_no_weights():
    with pytest.raises(ValueError, match='give CONFIG CHECKPOINT, or the work directory'):
        main(['configs/retinanet_cream.py'])
