"""configs/spos: plain models of mmpretrain and mmdet, from a folder to an exported network."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.models.detectors import RetinaNet
from mmengine.config import Config
from mmpretrain.models.classifiers import ImageClassifier
from PIL import Image

import cream_mm
from cream_mm.config import load_config
from cream_mm.testing import write_image_folder

ROOT = Path(__file__).resolve().parents[2]
CLASSIFIER = str(ROOT / 'configs/spos/search_imagenet.py')
DETECTOR = str(ROOT / 'configs/spos/search_retinanet_coco.py')
SMALL = ['model.backbone.space.depths=[1,1,2,1,1]', 'model.backbone.space.width_mult=0.5']


def tool(name, *args):
    """Run a tool in this process, as from the command line; gives what its main() gives."""
    spec = importlib.util.spec_from_file_location(f'tool_{name}', ROOT / f'tools/{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main([str(arg) for arg in args])


def read(path):
    return json.loads(Path(path).read_text())


def rows(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


@pytest.fixture(scope='module')
def photos(tmp_path_factory):
    return write_image_folder(tmp_path_factory.mktemp('photos'), train=20, val=4, size=(40, 44))


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    """COCO-style: 24 + 6 images with one or two squares of two colours."""
    root, rng = tmp_path_factory.mktemp('scenes'), np.random.default_rng(0)
    (root / 'annotations').mkdir()
    for part, number in (('train2017', 24), ('val2017', 6)):
        (root / part).mkdir()
        images, boxes = [], []
        for i in range(number):
            pixels = rng.integers(0, 60, (64, 64, 3), dtype=np.uint8)
            for _ in range(1 + i % 2):
                x, y, side = *rng.integers(0, 30, 2), int(rng.integers(20, 32))
                label = int(rng.integers(2))
                pixels[y : y + side, x : x + side, label] = 250
                boxes.append(
                    dict(id=len(boxes) + 1, image_id=i + 1, category_id=label + 1, iscrowd=0,
                         bbox=[int(x), int(y), side, side], area=side * side)
                )  # fmt: skip
            images.append(dict(id=i + 1, width=64, height=64, file_name=f'{i}.jpg'))
            Image.fromarray(pixels).save(root / part / f'{i}.jpg')
        categories = [dict(id=1, name='red'), dict(id=2, name='green')]
        content = dict(images=images, annotations=boxes, categories=categories)
        (root / f'annotations/instances_{part}.json').write_text(json.dumps(content))
    return root


def of_photos(photos, *more):
    return [
        f'data_root={photos}', 'input_size=32', 'max_epochs=2', 'batch_size=4', 'num_workers=0',
        'budget.macs_m=[0,20]', 'test_cfg.num_random=2', 'test_cfg.num_bn_images=8',
        'train_cfg.val_interval=2', 'model.head.in_channels=160', *SMALL, *more,
    ]  # fmt: skip


def test_a_plain_classifier(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = of_photos(photos)
    tool('train', CLASSIFIER, '--work-dir', 'run', '--cfg-options', *options)
    (config,) = Path('run').glob('*.py')
    cfg = Config.fromfile(str(config))
    assert cfg.model.type == 'ImageClassifier' and cfg.num_classes == 2
    log = rows('run/path_log.jsonl')
    assert [row['step'] for row in log] == list(range(18))  # 36 of 40 images, 9 steps an epoch
    assert all(set(row) == {'step', 'arch', 'loss'} for row in log)
    (scalars,) = Path('run').glob('*/vis_data/scalars.json')
    assert any('accuracy/top1' in row for row in rows(scalars))

    answer, front = read('run/best_arch.json'), read('run/front.json')
    assert answer['choice']['rule'] == 'random' and answer['num_classes'] == 2  # so short a log
    assert answer['rating']['num_images'] == 4 and 'compat' not in answer
    assert front['score'] == 'cross_entropy' and front['by'] == 'ratings'
    assert front['answer']['arch'] == answer['arch'] == front['steps'][-1]['arch']
    names = [row['name'] for row in front['references']]
    assert names[:2] == ['cheapest', 'costliest'] and names.count('random') == 2
    cheapest, costliest = front['references'][:2]
    bounds = [row['bound'] for row in front['steps']]
    assert bounds == sorted(bounds)
    for row in (*front['steps'], *front['references'][2:4]):
        low, high = (end['costs']['macs_m'] for end in (cheapest, costliest))
        assert low <= row['costs']['macs_m'] <= high

    tool('export_arch', 'run', '--all', '--out', 'exports')
    folders = sorted(Path('exports').iterdir())
    assert len(folders) == len(front['steps'])
    exported = folders[-1]
    net = cream_mm.create_model(exported / 'arch.json', checkpoint=exported / 'weights.pth')
    assert type(net) is ImageClassifier and net.head.num_classes == 2
    short = ['max_epochs=1', 'train_cfg.max_epochs=1', 'custom_hooks=[]']
    tool('train', exported / 'retrain.py', '--work-dir', 'retrained', '--cfg-options', *short)
    assert Path('retrained/epoch_1.pth').is_file()


@pytest.mark.parametrize(
    'metric, evaluator',
    [
        ('accuracy/top1', None),
        ('single-label/f1-score', dict(type='SingleLabelMetric', items=['f1-score'])),
    ],
)
def test_a_metric_of_its_own(photos, tmp_path, metric, evaluator):
    options = [*of_photos(photos), f'metric={metric}', 'max_epochs=1']
    options += ['default_hooks.checkpoint.save_best=auto']  # then it follows the metric
    args = [CLASSIFIER, '--work-dir', tmp_path / 'run', '--cfg-options', *options]
    if evaluator:
        text = ','.join(f'{k!r}:{v!r}' for k, v in evaluator.items())
        (tmp_path / 'mine.py').write_text(
            f'_base_ = {CLASSIFIER!r}\nval_evaluator = dict(_delete_=True, **{{{text}}})\n'
            'test_evaluator = val_evaluator\n'
        )
        args[0] = tmp_path / 'mine.py'
    tool('train', *args)
    answer, front = read(tmp_path / 'run/best_arch.json'), read(tmp_path / 'run/front.json')
    assert answer['rating']['metric'] == metric == front['score'] and front['higher_is_better']
    rated = rows(tmp_path / 'run/ratings.jsonl')
    assert all(len(row['draws']) == 200 and row['metric'] == metric for row in rated)
    assert answer['rating']['value'] == max(row['value'] for row in rated)
    assert list((tmp_path / 'run').glob(f'best_{metric.replace("/", "_")}_epoch_1.pth'))


def of_scenes(scenes, *more):
    return [
        f'data_root={scenes}', 'scale=[64,64]', 'model.backbone.costs.input_size=64',
        'budget.macs_m=[0,20]', 'max_epochs=2', 'batch_size=4', 'num_workers=0',
        'train_cfg.val_interval=1', 'test_cfg.num_random=2', 'test_cfg.num_bn_images=8',
        'model.neck.in_channels=[16,24,48,160]', 'model.neck.out_channels=16',
        'model.neck.norm_cfg.type=BN', 'model.bbox_head.in_channels=16',
        'model.bbox_head.feat_channels=16', 'model.bbox_head.stacked_convs=1',
        'optim_wrapper.optimizer.lr=0.01', *SMALL, *more,
    ]  # fmt: skip


def test_a_plain_detector(scenes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tool('train', DETECTOR, '--work-dir', 'run', '--cfg-options', *of_scenes(scenes))
    log = rows('run/path_log.jsonl')
    assert len(log) == 12  # 22 of 24 images
    for row in log:
        assert row['loss'] == pytest.approx(sum(row['losses'].values()), rel=1e-5)
        assert set(row['losses']) == {'loss_cls', 'loss_bbox'}
    answer, front = read('run/best_arch.json'), read('run/front.json')
    assert answer['task'] == 'detection' and 'num_classes' not in answer
    assert answer['classes'] == ['red', 'green'] and answer['rating']['metric'] == 'coco/bbox_mAP'
    assert answer['rating']['num_images'] == 2 and front['score'] == 'coco/bbox_mAP'
    # Of the backbone alone, and paths are rated on training images that were held out.
    cfg = load_config(next(map(str, Path('run').glob('*.py'))))
    assert cfg.test_evaluator.ann_file.endswith('instances_train2017.json')
    assert cfg.val_evaluator.ann_file.endswith('instances_val2017.json')

    tool('export_arch', 'run/best_arch.json', '--out', 'export')
    weights = torch.load('export/weights.pth', weights_only=True)['state_dict']
    assert {name.split('.')[0] for name in weights} == {'backbone', 'neck', 'bbox_head'}
    options = [o for o in of_scenes(scenes) if not o.startswith(('model.backbone', 'test_cfg'))]
    options = [o for o in options if not o.startswith(('data_root', 'scale', 'budget'))]
    options = [o for o in options if 'in_channels=[' not in o] + ['max_epochs=1']
    # The exported config needs no option to find its data and classes; these make it small.
    tool('train', 'export/retinanet.py', '--work-dir', 'retrained', '--cfg-options', *options)
    trained = load_config(next(map(str, Path('retrained').glob('*.py'))))
    assert trained.model.type == 'RetinaNet' and trained.num_classes == 2
    assert Path(trained.data_root) == scenes
    assert trained.model.backbone.arch == answer['arch']
    assert Path('retrained/epoch_1.pth').is_file()


def test_a_training_set_that_leaves_nothing_out_is_refused(scenes, tmp_path):
    (tmp_path / 'mine.py').write_text(
        f'_base_ = {DETECTOR!r}\n'
        'train_dataloader = dict(dataset=dict(_delete_=True, type="RepeatDataset", times=2, '
        'dataset=dict(type="CocoDataset", data_root="data/coco/", '
        'ann_file="annotations/instances_train2017.json", data_prefix=dict(img="train2017/"))))\n'
    )
    with pytest.raises(ValueError, match='would be trained on and rated on: the training set'):
        load_config(str(tmp_path / 'mine.py'), dict(data_root=str(scenes)))


@pytest.mark.parametrize(
    'option, error',
    [
        ('test_evaluator.ann_file=VAL', 'does not hold .*it is that of other images'),
        ('model.backbone.costs.head=classifier', 'counts the head of a classifier'),
    ],
)
def test_what_would_be_rated_wrongly_is_refused(scenes, tmp_path, option, error):
    option = option.replace('VAL', f'{scenes}/annotations/instances_val2017.json')
    options = [*of_scenes(scenes), option]
    with pytest.raises(ValueError, match=error):
        tool('train', DETECTOR, '--work-dir', tmp_path / 'run', '--cfg-options', *options)
    assert not list((tmp_path / 'run').glob('*.pth'))


def test_the_model_is_the_familys_own(scenes):
    from mmengine.registry import MODELS, DefaultScope

    cfg = load_config(DETECTOR, dict(data_root=str(scenes)))
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg.model)
    assert type(model) is RetinaNet and model.bbox_head.num_classes == 2
    smallest, largest = model.backbone.budget.cost_model.extremes()
    assert 5_000 < smallest['macs_m'] < largest['macs_m'] < 12_000  # the config's comment


def test_a_detector_without_a_metric_is_found_before_the_training(scenes, tmp_path):
    options = [*of_scenes(scenes), 'test_cfg.metric=None']
    with pytest.raises(ValueError, match='RetinaNet is no classifier .* name it, for example'):
        tool('train', DETECTOR, '--work-dir', tmp_path / 'run', '--cfg-options', *options)
    assert not list((tmp_path / 'run').glob('*.pth'))
