import json
import os
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import PARAM_SCHEDULERS
from PIL import Image

from cream_mm.config.load import load_config
from cream_mm.files import take_early_lines
from cream_mm.testing import write_image_folder

ROOT = Path(__file__).parents[2]
SEARCH = str(ROOT / 'configs/cream/search_imagenet.py')
RETRAIN = str(ROOT / 'configs/cream/retrain_imagenet.py')
RETINANET = str(ROOT / 'configs/retinanet_cream.py')
DEMO = str(ROOT / 'configs/demo/search_digits.py')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Three classes of photographs."""
    root = tmp_path_factory.mktemp('images')
    return str(write_image_folder(root, classes=('ant', 'bee', 'cat'), train=4, val=1))


def write_coco(root, names=('dog', 'cat', 'emu'), splits=('train', 'val')):
    """One picture with a box of the first class per split: enough for a config."""
    (root / 'annotations').mkdir(parents=True)
    for split in splits:
        (root / f'{split}2017').mkdir()
        categories = [dict(id=3 * i + 1, name=name) for i, name in enumerate(names)]
        Image.new('RGB', (48, 40), (len(split), 0, 0)).save(root / f'{split}2017/1.png')
        image = dict(id=1, file_name='1.png', width=48, height=40)
        box = dict(id=1, image_id=1, category_id=1, bbox=[4, 4, 20, 20], area=400, iscrowd=0)
        content = dict(images=[image], annotations=[box], categories=categories)
        path = root / 'annotations' / f'instances_{split}2017.json'
        path.write_text(json.dumps(content))
    return str(root)


def values(node, key):
    """Every value of ``key`` anywhere below a config."""
    found = []
    if isinstance(node, dict):
        for name, value in node.items():
            found += [value] if name == key else values(value, key)
    elif isinstance(node, (list, tuple)):
        for value in node:
            found += values(value, key)
    return found


# --- data of a search ---


def test_classes_come_from_the_folders(folder):
    cfg = load_config(SEARCH, dict(data_root=folder))
    assert cfg.num_classes == 3
    assert cfg.model.head.num_classes == 3
    assert cfg.model.data_preprocessor.num_classes == 3
    assert set(values(cfg._cfg_dict, 'num_classes')) == {3}


@pytest.mark.parametrize('path', [SEARCH, RETRAIN, DEMO])
def test_data_root_reaches_every_dataset(path, folder):
    cfg = load_config(path, dict(data_root=folder))
    used = {k: v for k, v in cfg._cfg_dict.items() if not k.endswith('_set')}  # no ingredients
    roots = values(used, 'data_root')
    assert set(roots) == {folder} and len(roots) >= 4
    assert cfg.train_dataloader.dataset.data_root == folder
    assert cfg.val_dataloader.dataset.data_root == folder
    assert cfg.test_dataloader.dataset.data_root == folder
    if path != RETRAIN:
        assert cfg.test_cfg.bn_dataset.data_root == folder
        hook = next(h for h in cfg.custom_hooks if h.type == 'cream_mm.MetaMatchingHook')
        assert hook.dataset.data_root == folder


def test_without_looking_at_the_data_nothing_is_needed():
    cfg = load_config(SEARCH, dict(data_root='/nowhere'), check_data=False)
    assert cfg.num_classes == cfg.model.head.num_classes == 1000
    assert cfg.train_dataloader.dataset.data_root == '/nowhere'


def test_the_config_itself_is_not_changed(folder):
    load_config(SEARCH, dict(data_root=folder, max_epochs=1))
    assert Config.fromfile(SEARCH).data_root == 'data/imagenet'


@pytest.mark.parametrize('missing', ['', 'train', 'val'])
def test_a_missing_folder_shows_the_layout(tmp_path, missing):
    root = tmp_path / 'set'
    if missing:
        write_image_folder(root, train=1, val=1)
        (root / missing).rename(tmp_path / 'elsewhere')
    with pytest.raises(FileNotFoundError) as error:
        load_config(SEARCH, dict(data_root=str(root)))
    message = str(error.value)
    assert f'below {root / (missing or "train")}, found no such folder' in message
    assert f'{root}/train/<class>/*.jpg' in message
    assert '--cfg-options data_root=FOLDER' in message


def test_the_default_folder_is_named_when_it_is_not_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match='data/imagenet/train, found no such folder'):
        load_config(SEARCH)


def test_more_outputs_than_classes_are_allowed(folder):
    cfg = load_config(SEARCH, dict(data_root=folder, num_classes=7))
    assert set(values(cfg._cfg_dict, 'num_classes')) == {7}


def test_fewer_outputs_than_classes_are_refused(folder):
    with pytest.raises(ValueError, match='num_classes=2, but the data has 3 classes'):
        load_config(SEARCH, dict(data_root=folder, num_classes=2))


def test_the_right_number_may_be_given(folder):
    cfg = load_config(SEARCH, dict(data_root=folder, num_classes=3))
    assert set(values(cfg._cfg_dict, 'num_classes')) == {3}


# --- values that are carried ---


def test_budget():
    cfg = load_config(SEARCH, {'budget.macs_m': [200, 350]}, check_data=False)
    assert list(cfg.model.budget.macs_m) == list(cfg.budget.macs_m) == [200, 350]
    cfg = load_config(SEARCH, {'budget.params_m': [0, 6]}, check_data=False)
    assert list(cfg.model.budget.params_m) == [0, 6]
    assert list(cfg.model.budget.macs_m) == [0, 600]


@pytest.mark.parametrize('path', [SEARCH, RETRAIN])
def test_batch_size_is_that_of_training(path):
    cfg = load_config(path, dict(batch_size=16), check_data=False)
    assert cfg.train_dataloader.batch_size == 16
    assert cfg.val_dataloader.batch_size == cfg.test_dataloader.batch_size == 256
    assert cfg.auto_scale_lr.base_batch_size == 1024


@pytest.mark.parametrize('path', [SEARCH, RETRAIN, RETINANET])
def test_num_workers(path):
    cfg = load_config(path, dict(num_workers=0), check_data=False)
    assert set(values(cfg._cfg_dict, 'num_workers')) == {0}


@pytest.mark.parametrize(('name', 'value'), [('batch_size', 48), ('num_workers', 3)])
def test_often_changed_values_reach_the_demo(name, value):
    cfg = load_config(DEMO, {name: value}, check_data=False)
    assert cfg.train_dataloader[name] == value


def test_epochs_of_a_search():
    cfg = load_config(SEARCH, dict(max_epochs=60), check_data=False)
    assert cfg.train_cfg.max_epochs == 60
    assert [s.end for s in cfg.param_scheduler] == [60]
    # With the schedule given as well, that one counts.
    cfg = load_config(SEARCH, {'max_epochs': 240}, check_data=False)
    assert [s.end for s in cfg.param_scheduler] == [240]


def test_epochs_of_a_retraining():
    cfg = load_config(RETRAIN, dict(max_epochs=255), check_data=False)
    (schedule,) = cfg.param_scheduler
    assert cfg.train_cfg.max_epochs == 255
    assert (schedule.warmup_epochs, schedule.T_max) == (1.5, 250)


def test_epochs_of_a_detector():
    cfg = load_config(RETINANET, dict(max_epochs=24), check_data=False)
    warmup, steps = cfg.param_scheduler
    assert cfg.train_cfg.max_epochs == steps.end == 24
    assert steps.milestones == [16, 22]
    assert (warmup.begin, warmup.end) == (0, 500)  # counted in iterations


EPOCH_LENGTH = 20


def learning_rates(cfg, base):
    """At the beginning of each epoch, as the schedulers have it."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], base)
    schedulers = [build_scheduler(s, optimizer) for s in cfg.param_scheduler]
    rates = []
    for _ in range(cfg.train_cfg.max_epochs):
        rates.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        for scheduler in schedulers:
            for _ in range(1 if scheduler.by_epoch else EPOCH_LENGTH):
                scheduler.step()
    return rates


def build_scheduler(cfg, optimizer):
    cfg = dict(cfg, optimizer=optimizer)
    if cfg.pop('convert_to_iter_based', False):
        cls = PARAM_SCHEDULERS.get(cfg.pop('type'))
        return cls.build_iter_from_epoch(**cfg, epoch_length=EPOCH_LENGTH)
    return PARAM_SCHEDULERS.build(cfg)


@pytest.mark.parametrize('max_epochs', [2, 3, 10, 60, 100, 200, 255, 510])
def test_every_retraining_reaches_its_learning_rate(max_epochs):
    cfg = load_config(RETRAIN, dict(max_epochs=max_epochs), check_data=False)
    rates = learning_rates(cfg, 0.064)
    # Seen once per epoch: in a run of two, the second epoch begins half way down.
    assert max(rates) > (0.9 if max_epochs > 3 else 0.49) * 0.064
    assert rates[-1] < 0.01 * 0.064 or max_epochs < 60


@pytest.mark.parametrize('max_epochs', [1, 2, 3, 12, 100])
@pytest.mark.parametrize('path', [SEARCH, RETINANET, DEMO])
def test_schedules_can_be_built_for_any_number_of_epochs(path, max_epochs):
    cfg = load_config(path, dict(max_epochs=max_epochs), check_data=False)
    for scheduler in cfg.param_scheduler:
        assert scheduler.end > scheduler.get('begin', 0)
        milestones = scheduler.get('milestones', [1])
        assert milestones == sorted(milestones) and milestones[0] >= 1
    assert max(learning_rates(cfg, 1.0)) > 0.3


def test_input_size_reaches_model_and_crops():
    cfg = load_config(SEARCH, dict(input_size=160), check_data=False)
    assert cfg.model.input_size == 160

    def of_type(pipeline, name):
        return next(step for step in pipeline if step.type == name)

    train = cfg.train_dataloader.dataset.pipeline
    assert of_type(train, 'cream_mm.RandomResizedCrop').scale == 160
    pipelines = [
        cfg.val_dataloader.dataset.pipeline,
        cfg.test_dataloader.dataset.pipeline,
        cfg.test_cfg.bn_dataset.pipeline,
        cfg.custom_hooks[1].dataset.pipeline,
    ]
    for pipeline in pipelines:
        assert of_type(pipeline, 'CenterCrop').crop_size == 160
        assert of_type(pipeline, 'ResizeEdge').scale == 183  # 160 / 0.875
    assert '224' not in cfg.pretty_text


def test_input_size_reaches_the_crop_of_the_demo():
    path = DEMO.replace('search', 'retrain')
    cfg = load_config(path, dict(input_size=32), check_data=False)
    crop = cfg.train_dataloader.dataset.pipeline[1]
    assert (crop.type, crop.crop_size) == ('RandomCrop', 32)


def test_several_at_once(folder):
    options = dict(
        data_root=folder, batch_size=4, max_epochs=2, input_size=64, num_workers=0,
        **{'budget.macs_m': [20, 40], 'model.head.dropout': 0.1},
    )  # fmt: skip
    cfg = load_config(SEARCH, options)
    assert cfg.train_dataloader.batch_size == 4 and cfg.train_cfg.max_epochs == 2
    assert cfg.model.input_size == 64 and list(cfg.model.budget.macs_m) == [20, 40]
    assert cfg.model.head.dropout == 0.1 and cfg.model.head.num_classes == 3
    assert cfg.train_dataloader.dataset.data_root == folder


def test_other_values_of_the_same_name_stay():
    cfg = load_config(SEARCH, {'val_dataloader.batch_size': 8}, check_data=False)
    assert cfg.val_dataloader.batch_size == 8
    assert cfg.train_dataloader.batch_size == 128
    assert cfg.test_dataloader.batch_size == 256


def test_no_config_file():
    with pytest.raises(FileNotFoundError, match='no config file configs/nothing.py'):
        load_config('configs/nothing.py')


# --- a detector ---


def test_categories_go_to_datasets_and_head(tmp_path):
    root = write_coco(tmp_path / 'coco')
    cfg = load_config(RETINANET, dict(data_root=root))
    assert cfg.num_classes == cfg.model.bbox_head.num_classes == 3
    for side in ('train', 'val', 'test'):
        dataset = cfg[f'{side}_dataloader'].dataset
        assert dataset.data_root == root
        assert tuple(dataset.metainfo.classes) == ('dog', 'cat', 'emu')
    for side in ('val', 'test'):
        evaluator = cfg[f'{side}_evaluator']
        assert evaluator.ann_file == f'{root}/annotations/instances_val2017.json'


def test_evaluator_follows_the_annotations():
    cfg = load_config(RETINANET, check_data=False)
    assert cfg.val_evaluator.ann_file == 'data/coco/annotations/instances_val2017.json'
    for root in ('/data/mine', '/data/mine/'):
        cfg = load_config(RETINANET, dict(data_root=root), check_data=False)
        assert cfg.val_evaluator.ann_file == '/data/mine/annotations/instances_val2017.json'
    options = {'val_dataloader.dataset.ann_file': 'other.json', 'data_root': 'x'}
    cfg = load_config(RETINANET, options, check_data=False)
    for side in ('val', 'test'):  # testing is validation unless it is given
        assert cfg[f'{side}_dataloader'].dataset.ann_file == 'other.json'
        assert cfg[f'{side}_evaluator'].ann_file == 'x/other.json'


def test_testing_on_something_else():
    options = {'test_dataloader.dataset.ann_file': 'test.json'}
    cfg = load_config(RETINANET, options, check_data=False)
    assert cfg.test_evaluator.ann_file == 'data/coco/test.json'
    assert cfg.val_evaluator.ann_file == 'data/coco/annotations/instances_val2017.json'


def test_eighty_classes_need_no_change(tmp_path):
    root = write_coco(tmp_path / 'coco', names=[f'c{i}' for i in range(80)])
    cfg = load_config(RETINANET, dict(data_root=root))
    assert cfg.model.bbox_head.num_classes == 80
    assert cfg.train_dataloader.dataset.metainfo.classes[79] == 'c79'


@pytest.mark.parametrize(
    ('gone', 'message'),
    [
        ('', 'no image folder .*train2017'),
        ('annotations/instances_train2017.json', 'no annotation file .*instances_train2017.json'),
        ('annotations/instances_val2017.json', 'no annotation file .*instances_val2017.json'),
        ('val2017', 'no image folder .*val2017'),
    ],
)
def test_a_missing_coco_set_shows_the_layout(tmp_path, gone, message):
    root = tmp_path / 'coco'
    if gone:
        write_coco(root)
        (root / gone).rename(tmp_path / 'elsewhere')
    with pytest.raises(FileNotFoundError, match=message) as error:
        load_config(RETINANET, dict(data_root=str(root)))
    text = str(error.value)
    assert f'{root}/annotations/instances_train2017.json' in text
    assert f'{root}/val2017/*.jpg' in text
    assert '--cfg-options data_root=FOLDER' in text and 'train_dataloader.dataset.ann_file' in text


@pytest.mark.parametrize('text', ['', '[]', '{}', '{"categories": [1]}', '[' * 200_000, '1e999'])
def test_not_an_annotation_file(tmp_path, text):
    root = write_coco(tmp_path / 'coco')
    path = Path(root, 'annotations', 'instances_val2017.json')
    path.write_text(text)
    with pytest.raises(ValueError, match='instances_val2017.json') as error:
        load_config(RETINANET, dict(data_root=root))
    assert str(error.value).startswith(str(path)) and '\n' not in str(error.value)


def test_detector_outputs_that_do_not_fit(tmp_path):
    root = write_coco(tmp_path / 'coco')
    with pytest.raises(ValueError, match='num_classes=2, but the data has 3 classes'):
        load_config(RETINANET, dict(data_root=root, num_classes=2))
    cfg = load_config(RETINANET, dict(data_root=root, num_classes=5))
    assert cfg.model.bbox_head.num_classes == 5


# --- labels ---


@pytest.mark.parametrize('data_root', ['', 'nowhere'])
def test_a_set_by_its_whole_paths_is_looked_at_once(tmp_path, data_root):
    root = write_coco(tmp_path / 'coco')
    options = dict(data_root=data_root)
    for split in ('train', 'val'):
        name = f'{split}_dataloader.dataset'
        options[f'{name}.ann_file'] = f'{root}/annotations/instances_{split}2017.json'
        options[f'{name}.data_prefix.img'] = f'{root}/{split}2017/'
    take_early_lines()
    assert load_config(RETINANET, options).num_classes == 3
    lines = [line for _, line in take_early_lines()]
    assert lines.count('The data has 3 classes: the heads get as many, not 80.') == 1
    assert len(set(lines)) == len(lines)


def test_pictures_in_the_current_folder(tmp_path, monkeypatch):
    root = write_coco(tmp_path / 'coco')
    monkeypatch.chdir(f'{root}/train2017')
    options = dict(data_root='')
    for split in ('train', 'val'):
        name = f'{split}_dataloader.dataset'
        options[f'{name}.ann_file'] = f'{root}/annotations/instances_{split}2017.json'
        options[f'{name}.data_prefix.img'] = ''
    assert load_config(RETINANET, options).num_classes == 3


def test_annotations_that_are_a_pipe(tmp_path):
    root = write_coco(tmp_path / 'coco')
    path = Path(root, 'annotations', 'instances_val2017.json')
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ValueError, match='instances_val2017.json is a pipe, not a regular file'):
        load_config(RETINANET, dict(data_root=root))


def test_too_few_outputs_in_a_config_without_our_variables(tmp_path, folder):
    path = tmp_path / 'mine.py'
    path.write_text(
        "model = dict(type='ImageClassifier', head=dict(num_classes=2))\n"
        f"train_dataloader = dict(dataset=dict(type='cream_mm.ImageFolder', data_root={folder!r}))"
    )
    with pytest.raises(ValueError, match='the data has 3 classes, but the model has at most 2'):
        load_config(str(path))


def test_a_detector_with_outputs_for_other_classes(tmp_path):
    root = write_coco(tmp_path / 'coco')
    dataset = dict(type='CocoDataset', data_root=root, data_prefix=dict(img='train2017/'),
                   ann_file='annotations/instances_train2017.json')  # fmt: skip
    path = tmp_path / 'mine.py'
    model = 'dict(neck=dict(num_classes=183), bbox_head=dict(num_classes={}){})'
    rest = f"train_dataloader = dict(dataset={dataset})\nval_evaluator = dict(type='CocoMetric')\n"
    path.write_text(f'model = {model.format(80, "")}\n{rest}')
    with pytest.raises(ValueError, match='3 classes, but the model has 183 outputs: set num_c'):
        load_config(str(path))
    for outputs, more in ((3, ''), (256, ', language_model=dict()')):  # as GroundingDINO
        path.write_text(f'model = {model.format(outputs, more)}\n{rest}')
        assert load_config(str(path)).model.bbox_head.num_classes == outputs


def test_the_output_is_tried_before_the_data(tmp_path):
    """Both are wrong: what is said is what would be found last."""
    (tmp_path / 'file').touch()
    options = dict(data_root=str(tmp_path / 'nowhere'))
    with pytest.raises(FileNotFoundError, match='nowhere'):
        load_config(SEARCH, options)
    for work_dir in ('file', 'file/below'):
        options['work_dir'] = str(tmp_path / work_dir)
        with pytest.raises(OSError, match='cannot write into .*file.*: Not a directory'):
            load_config(SEARCH, options, writes=True)
    cfg = load_config(SEARCH, {}, writes=True, check_data=False)
    assert cfg.work_dir == 'work_dirs/search_imagenet'
