"""``folds=3 fold=1`` in a config: what is trained on, and what is measured on."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.registry import DATASETS, METRICS, init_default_scope
from PIL import Image

from cream_mm.config.load import load_config
from cream_mm.files import take_early_lines
from cream_mm.testing import write_image_folder

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
RETRAIN, SEARCH = (str(CONFIGS / f'cream/{name}_imagenet.py') for name in ('retrain', 'search'))
RETINANET = str(CONFIGS / 'retinanet_cream.py')


@pytest.fixture
def folder(tmp_path):
    return write_image_folder(tmp_path / 'set', classes=('ant', 'bee'), train=6, val=2)


@pytest.fixture
def coco(tmp_path):
    for split in ('train2017', 'val2017'):
        (tmp_path / split).mkdir()
        for i in range(6):
            Image.new('L', (64, 64), 10 * i).save(tmp_path / split / f'{i}.jpg')
        images = [dict(id=i, width=64, height=64, file_name=f'{i}.jpg') for i in range(6)]
        boxes = [dict(id=i + 1, image_id=i, category_id=1, bbox=[1, 1, 40, 40], area=1600,
                      iscrowd=0) for i in range(6)]  # fmt: skip
        path = tmp_path / 'annotations' / f'instances_{split}.json'
        path.parent.mkdir(exist_ok=True)
        content = dict(images=images, annotations=boxes, categories=[dict(id=1, name='ant')])
        path.write_text(json.dumps(content))
    return tmp_path


def images(cfg, side):
    init_default_scope(cfg.default_scope)
    dataset = cfg[f'{side}_dataloader'].dataset
    inner = dataset.get('dataset', dataset)
    inner['pipeline'] = []
    built = DATASETS.build(dataset)
    return [built.get_data_info(i)['img_path'] for i in range(len(built))]


def test_a_retraining_is_validated_on_its_fold(folder):
    held = []
    for fold in range(3):
        cfg = load_config(RETRAIN, dict(data_root=str(folder), folds=3, fold=fold))
        val, train = images(cfg, 'val'), images(cfg, 'train')
        assert len(val) == 4 and len(train) == 8 and not set(val) & set(train)
        assert images(cfg, 'test') == val
        assert 'save_best' not in cfg.default_hooks.checkpoint
        held += val
    assert sorted(held) == sorted(str(path) for path in folder.glob('train/*/*.jpg'))


def test_the_dumped_config_means_the_same(folder, coco, tmp_path):
    for config, root in ((RETRAIN, folder), (SEARCH, folder), (RETINANET, coco)):
        cfg = load_config(config, dict(data_root=str(root), folds=3, fold=1))
        cfg.dump(str(tmp_path / 'dumped.py'))
        again = load_config(str(tmp_path / 'dumped.py'))
        assert not [key for key in cfg if cfg[key] != again.get(key)]
    hooks = [hook['type'] for hook in again.custom_hooks]
    assert hooks == ['cream_mm.SmallBatchNormHook', 'cream_mm.FoldHook']


def test_a_search_rates_on_its_fold(folder):
    cfg = load_config(SEARCH, dict(data_root=str(folder), folds=3, fold=2))
    rated, train = images(cfg, 'test'), images(cfg, 'train')
    assert len(rated) == 4 and len(train) == 8 and not set(rated) & set(train)
    assert all('/val/' in path for path in images(cfg, 'val'))  # which chooses nothing
    assert cfg.test_cfg.bn_dataset.part == 'train' and cfg.test_cfg.bn_dataset.fold == 2
    assert not any('FoldHook' in hook['type'] for hook in cfg.custom_hooks)


def test_a_search_without_a_validation_set(folder):
    (folder / 'val').rename(folder / 'other')
    cfg = load_config(SEARCH, dict(data_root=str(folder), folds=3, fold=0))
    assert images(cfg, 'val') == images(cfg, 'test')


def test_a_detector_is_measured_by_the_boxes_of_its_fold(coco):
    """With each box found, the mean average precision is 1: no box of another fold is missed."""
    cfg = load_config(RETINANET, dict(data_root=f'{coco}/', folds=3, fold=1))
    init_default_scope('mmdet')
    dataset, metric = DATASETS.build(cfg.val_dataloader.dataset), METRICS.build(cfg.val_evaluator)
    metric.dataset_meta = dataset.metainfo
    for i in range(len(dataset)):
        sample = dataset[i]['data_samples'].to_dict()
        boxes = torch.tensor([[1.0, 1.0, 41.0, 41.0]])  # as in the file, in pixels of the image
        found = dict(bboxes=boxes, scores=torch.ones(1), labels=torch.zeros(1, dtype=torch.long))
        metric.process({}, [dict(sample, pred_instances=found)])
    assert metric.evaluate(len(dataset))['coco/bbox_mAP'] == 1.0


def test_a_detector(coco):
    take_early_lines()  # of other tests
    cfg = load_config(RETINANET, dict(data_root=f'{coco}/', folds=3, fold=1))
    val, train = images(cfg, 'val'), images(cfg, 'train')
    assert len(val) == 2 and len(train) == 4 and not set(val) & set(train)
    assert all('/train2017/' in path for path in val)
    assert not cfg.val_evaluator.get('ann_file')  # the boxes of the fold, not of all images
    said = ' '.join(line for _, line in take_early_lines())
    assert 'fold 1 of 3 is held out of' in said and 'in the training set, too' not in said


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        (dict(folds=3), 'folds=3 without fold: .*--folds 3'),
        (dict(folds=3, fold=3), 'folds is 2 or more, and fold'),
        (dict(fold=0), 'folds is 2 or more, and fold'),
        (dict(folds=1, fold=0), 'folds'),
        (dict(folds=13, fold=0), '12 images cannot be dealt out to 13 folds'),
    ],
)
def test_folds_that_cannot_be(folder, options, said):
    with pytest.raises(ValueError, match=said):
        load_config(RETRAIN, dict(data_root=str(folder), **options))
