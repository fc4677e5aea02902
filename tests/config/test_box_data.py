"""A config on a folder of boxes that is no COCO set, or one without a split."""

import json
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from cream_mm.config import box_data
from cream_mm.config.box_data import divide, fit_boxes
from cream_mm.config.coco_data import follow_annotations
from cream_mm.config.load import load_config
from cream_mm.datasets.box_set import BoxImage, BoxSet
from cream_mm.datasets.coco_layout import held_out_of

ROOT = Path(__file__).parents[2]


def picture(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (48, 64, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def voc(root, numbers=range(10), lists=None):
    """Images of 64 x 48 pixels with a box of cat or of dog."""
    for n in numbers:
        picture(root / f'JPEGImages/{n}.jpg', n)
        path = root / f'Annotations/{n}.xml'
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            f'<annotation><filename>{n}.jpg</filename><size><width>64</width><height>48</height>'
            f'</size><object><name>{("cat", "dog")[n % 2]}</name><bndbox><xmin>5</xmin>'
            f'<ymin>6</ymin><xmax>{30 + n}</xmax><ymax>40</ymax></bndbox></object></annotation>'
        )
    for name, stems in (lists or {}).items():
        path = root / f'ImageSets/Main/{name}.txt'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('\n'.join(map(str, stems)))


def config(root, work_dir, *, part=False, train='annotations/instances_train2017.json', **more):
    def dataset(ann_file, folder):
        return dict(
            type='mmdet.CocoDataset', data_root=str(root), ann_file=ann_file,
            data_prefix=dict(img=folder),
        )  # fmt: skip

    first = dataset(train, 'train2017/')
    val = dataset('annotations/instances_val2017.json', 'val2017/')
    cfg = Config(
        dict(
            work_dir=str(work_dir),
            train_dataloader=dict(
                dataset=dict(type='cream_mm.DatasetPart', dataset=first) if part else first
            ),
            val_dataloader=dict(dataset=val),
            test_dataloader=dict(dataset=dict(val)),
            val_evaluator=dict(type='CocoMetric'),
            **more,
        )
    )
    follow_annotations(cfg)
    return cfg


def fit(root, work_dir, options=(), writes=True, **more):
    cfg, lines = config(root, work_dir, **more), []
    fit_boxes(cfg, dict.fromkeys(options), lines.append, writes)
    return cfg, lines


def names(path):
    content = json.loads(Path(path).read_text())
    return [image['file_name'].split('/')[-1].split('.')[0] for image in content['images']]


def images_of(path):
    return [image['file_name'] for image in json.loads(Path(path).read_text())['images']]


def test_a_set_with_lists(tmp_path):
    root, work = tmp_path / 'data', tmp_path / 'work'
    voc(root, lists=dict(train=[3, 1, 2], val=[4, 5], test=[6]))
    cfg, lines = fit(root, work, part=True)
    files = {split: f'{work}/annotations/{split}.json' for split in ('train', 'val', 'test')}
    assert {split: names(path) for split, path in files.items()} == dict(
        train=['3', '1', '2'], val=['4', '5'], test=['6']
    )
    for dataset, split in (
        (cfg.train_dataloader.dataset.dataset, 'train'),
        (cfg.val_dataloader.dataset, 'val'),
        (cfg.test_dataloader.dataset, 'val'),  # which the config names for the test
    ):
        assert dataset.ann_file == files[split]
        assert dataset.data_root == str(root)
        assert dataset.data_prefix == dict(img='')
    assert cfg.val_evaluator.ann_file == files['val']
    content = json.loads(Path(files['train']).read_text())
    assert [c['name'] for c in content['categories']] == ['cat', 'dog']
    assert content['annotations'][0]['bbox'] == [4, 5, 28, 34]
    assert lines == [
        f'{root} is read as PASCAL VOC: Annotations',
        f'{root}: images that no list names: 4, left out '
        '(JPEGImages/0.jpg, JPEGImages/7.jpg, JPEGImages/8.jpg, ...)',
        f'{root}: 2 classes, written to {work}/annotations: train.json with 3 images and 3 boxes, '
        'val.json with 2 images and 2 boxes, test.json with 1 images and 1 boxes',
    ]


@pytest.mark.parametrize('is_coco', [False, True])
def test_runs_may_lie_in_the_folder_of_the_set(tmp_path, is_coco):
    voc(tmp_path)
    if is_coco:
        fit(tmp_path, tmp_path / 'x')
        content = json.loads((tmp_path / 'x/annotations/train.json').read_text())
        del content['info']
        (tmp_path / 'labels.json').write_text(json.dumps(content))
    for run in ('runs/a', 'runs/b', 'runs/a', 'c'):
        cfg, lines = fit(tmp_path, tmp_path / run)
        file = cfg.train_dataloader.dataset.ann_file
        assert file == f'{tmp_path}/{run}/annotations/train.json'
        assert any('has no split: ' in line for line in lines)
        assert all(n.startswith('JPEG') for n in images_of(file))
        assert len(images_of(file)) == (6 if is_coco else 8)
        assert not any('written anew' in line for line in lines)


@pytest.mark.parametrize('root', ['.', './', '../data'])
def test_a_set_in_the_current_folder(tmp_path, monkeypatch, root):
    voc(tmp_path / 'data')
    monkeypatch.chdir(tmp_path / 'data')
    cfg, _ = fit(root, tmp_path / 'work')
    assert cfg.train_dataloader.dataset.ann_file == f'{tmp_path}/work/annotations/train.json'


def test_a_set_without_a_split(tmp_path):
    root, work = tmp_path / 'data', tmp_path / 'work'
    voc(root)
    cfg, lines = fit(root, work)
    train, val = (names(work / f'annotations/{split}.json') for split in ('train', 'val'))
    assert (len(train), len(val)) == (8, 2)
    assert {int(name) % 2 for name in val} == {0, 1}  # a cat and a dog
    assert set(train) | set(val) == set(map(str, range(10)))
    assert lines[1] == (
        f'{root} has no split: 8 of 10 images to train on, 2 to validate on, seed 0'
    )


def test_the_same_data_gives_the_same_files(tmp_path):
    root, work = tmp_path / 'data', tmp_path / 'work'
    voc(root)
    fit(root, work)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in work.rglob('*.json')}
    _, lines = fit(root, work)
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in work.rglob('*.json')} == before
    assert len(before) == 2
    assert not any('anew' in line for line in lines)
    fit(f'{root}/', tmp_path / 'other')
    for path, (content, _) in before.items():
        assert (tmp_path / 'other/annotations' / path.name).read_bytes() == content


def test_of_data_that_changed_old_images_keep_their_side(tmp_path):
    root, work = tmp_path / 'data', tmp_path / 'work'
    voc(root)
    fit(root, work)
    train, val = (names(work / f'annotations/{split}.json') for split in ('train', 'val'))
    voc(root, range(10, 20))
    (root / f'Annotations/{train[0]}.xml').unlink()
    _, lines = fit(root, work)
    now = {split: names(work / f'annotations/{split}.json') for split in ('train', 'val')}
    assert set(train[1:]) < set(now['train'])
    assert set(val) < set(now['val'])
    assert (len(now['train']), len(now['val'])) == (7 + 8, 2 + 2)
    assert lines[-1] == (
        f'{work}/annotations: the data is another than when train.json, val.json were written; '
        'written anew'
    )


def test_without_a_work_dir_nothing_is_written_there(tmp_path):
    root, work = tmp_path / 'data', tmp_path / 'work'
    voc(root)
    cfg, _ = fit(root, work, writes=False)
    assert not work.exists()
    path = Path(cfg.train_dataloader.dataset.ann_file)
    assert names(path)
    assert path.is_relative_to(box_data._made[0])


def test_further_ranks_write_beside_and_the_same(tmp_path, monkeypatch):
    root, work = tmp_path / 'data', tmp_path / 'work'
    voc(root)
    cfg, _ = fit(root, work)
    voc(root, range(10, 15))
    fit(root, work)
    monkeypatch.setattr(box_data, 'rank_and_number', lambda: (1, 2))
    other, _ = fit(root, work)
    one, two = (Path(c.train_dataloader.dataset.ann_file) for c in (cfg, other))
    assert one != two
    assert one.read_bytes() == two.read_bytes()


def test_files_that_are_there_are_taken(tmp_path):
    root, work = tmp_path / 'data', tmp_path / 'work'
    voc(root)
    cfg, _ = fit(root, work)
    before = cfg.to_dict()
    lines = []
    fit_boxes(cfg, {}, lines.append, True)  # the copy that the run wrote
    assert (cfg.to_dict(), lines) == (before, [])


def test_the_copy_of_a_run_whose_folder_was_moved_or_whose_data_is_another(tmp_path):
    root, work = tmp_path / 'data', tmp_path / 'work'
    voc(root)
    cfg, _ = fit(root, work)
    text = (work / 'annotations/val.json').read_text()
    work.rename(tmp_path / 'moved')
    fit_boxes(cfg, {}, lambda line: None, False)
    assert Path(cfg.val_dataloader.dataset.ann_file).read_text() == text
    assert cfg.val_evaluator.ann_file == cfg.val_dataloader.dataset.ann_file

    voc(tmp_path / 'data2', range(20, 30))
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.data_root = str(tmp_path / 'data2')
    fit_boxes(cfg, {'data_root': ''}, lambda line: None, False)
    assert set(names(cfg.val_dataloader.dataset.ann_file)) < set(map(str, range(20, 30)))


def test_of_a_moved_run_whose_data_grew_no_trained_image_is_validated_on(tmp_path):
    root = tmp_path / 'data'
    voc(root)
    cfg, _ = fit(root, tmp_path / 'work')
    trained = images_of(cfg.train_dataloader.dataset.ann_file)
    held = images_of(cfg.val_dataloader.dataset.ann_file)
    cfg.dump(tmp_path / 'work/config.py')
    (tmp_path / 'work').rename(tmp_path / 'moved')
    voc(root, range(10, 30))
    cfg = Config.fromfile(tmp_path / 'moved/config.py')
    fit_boxes(cfg, {}, lambda line: None, False)
    file = f'{tmp_path}/moved/annotations/val.json'
    assert cfg.val_dataloader.dataset.ann_file == cfg.val_evaluator.ann_file == file
    assert images_of(file) == held and not set(held) & set(trained)


def test_the_kind_may_be_named(tmp_path):
    root, work = tmp_path / 'data', tmp_path / 'work'
    voc(root)
    cfg, lines = fit(root, work, data_kind='coco')
    assert cfg.train_dataloader.dataset.ann_file == 'annotations/instances_train2017.json'
    assert lines == []
    _, lines = fit(root, work, data_kind='voc')
    assert lines[0] == f"{root} is read as data_kind='voc'"
    with pytest.raises(ValueError, match="data_kind is one of 'coco', 'voc', .*; got 'pascal'"):
        fit(root, work, data_kind='pascal')


def test_a_file_that_the_command_line_names_is_the_one_that_is_meant(tmp_path):
    root, work = tmp_path / 'data', tmp_path / 'work'
    voc(root)
    options = ['train_dataloader.dataset.ann_file']
    cfg, lines = fit(root, work, options, train='annotations/slip.json')
    assert cfg.train_dataloader.dataset.ann_file == 'annotations/slip.json'
    assert lines == []


# ---- COCO ----------------------------------------------------------------------------------------


def coco(root, name, folder, numbers):
    content = dict(
        images=[dict(id=n, file_name=f'{n}.jpg', width=64, height=48) for n in numbers],
        annotations=[
            dict(id=n, image_id=n, category_id=n % 2 + 1, bbox=[4, 4, 9, 9], area=81, iscrowd=0,
                 segmentation=[[4, 4, 13, 4, 13, 13]])
            for n in numbers
        ],
        categories=[dict(id=1, name='cat'), dict(id=2, name='dog')],
    )  # fmt: skip
    for n in numbers:
        picture(root / folder / f'{n}.jpg', n)
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(json.dumps(content))


@pytest.mark.parametrize(
    ('name', 'folder'),
    [
        ('annotations/instances_default.json', 'images'),
        ('annotations/instances_train2017.json', 'train2017'),
        ('train/_annotations.coco.json', 'train'),
    ],
)
def test_a_coco_set_with_nothing_to_validate_on(tmp_path, name, folder):
    root, work = tmp_path / 'data', tmp_path / 'work'
    coco(root, name, folder, range(1, 11))
    cfg, lines = fit(root, work)
    files = [cfg[f'{side}_dataloader'].dataset.ann_file for side in ('train', 'val')]
    assert files == [f'{work}/annotations/{split}.json' for split in ('train', 'val')]
    assert list(map(len, map(names, files))) == [8, 2]
    content = json.loads(Path(files[1]).read_text())
    assert all(image['file_name'].startswith(f'{folder}/') for image in content['images'])
    assert all('segmentation' in annotation for annotation in content['annotations'])
    assert any('8 of 10 images to train on, 2 to validate on, seed 0' in line for line in lines)


def test_a_coco_file_of_the_users_own_names(tmp_path):
    root, work = tmp_path / 'data', tmp_path / 'work'
    coco(root, 'mine.json', 'images', range(1, 11))
    options = ['train_dataloader.dataset.ann_file']
    cfg, _ = fit(root, work, options, train='mine.json')
    assert len(names(cfg.train_dataloader.dataset.ann_file)) == 8
    assert len(names(cfg.val_dataloader.dataset.ann_file)) == 2


def test_a_coco_set_with_a_validation_or_a_test_set_stays(tmp_path):
    for split in ('valid', 'test'):
        root = tmp_path / split
        coco(root, 'train/_annotations.coco.json', 'train', range(1, 5))
        coco(root, f'{split}/_annotations.coco.json', split, range(5, 7))
        cfg, lines = fit(root, tmp_path / 'work')
        assert cfg.train_dataloader.dataset.ann_file == 'annotations/instances_train2017.json'
        assert lines == []


def test_pictures_to_validate_on_whose_file_is_lost_are_not_replaced(tmp_path):
    root = tmp_path / 'data'
    coco(root, 'annotations/instances_train2017.json', 'train2017', range(1, 5))
    picture(root / 'val2017/9.jpg', 9)
    cfg, lines = fit(root, tmp_path / 'work')
    assert cfg.val_dataloader.dataset.ann_file == 'annotations/instances_val2017.json'
    assert lines == []


# ---- dividing ------------------------------------------------------------------------------------


def test_which_images_are_of_which_split():
    lines = []

    def splits(wanted='train val', **given):
        images = {k: [BoxImage(f'{n}.jpg', 4, 4) for n in v] for k, v in given.items()}
        box_set = BoxSet('data', ['a'], images)
        found = divide(box_set, set(wanted.split()), dict(train=set(), val=set()), lines.append)
        return {name: ''.join(i.path[0] for i in images) for name, images in found.items()}

    assert splits(train='ab', val='c', test='d') == dict(train='ab', val='c', test='d')
    assert splits(wanted='train', all='abc') == dict(train='abc')  # others are of another folder
    assert splits(wanted='val', all='abc') == dict(val='abc')
    assert splits(wanted='train', train='abc') == dict(train='abc')
    assert lines == []
    assert splits(train='ab', test='c') == dict(train='ab', test='c')
    assert 'data: the test images are validated on' in lines.pop()
    found = splits(train='abcdefghij')
    assert (len(found['train']), len(found['val'])) == (8, 2)
    assert 'data has no split: 8 of 10 images' in lines.pop()
    assert splits(train='abc', val='cd', test='d') == dict(train='abc', val='cd', test='d')
    assert lines == [
        'data: 1 of the 2 images of val are trained on as well, so that what is measured on it '
        'comes out too high: c.jpg'
    ]


def test_folds_are_of_all_images_of_a_set_without_a_split(tmp_path):
    root = tmp_path / 'data'
    voc(root)
    cfg, lines = fit(root, tmp_path / 'work', folds=2, fold=0)
    file = cfg.train_dataloader.dataset.ann_file
    assert sorted(names(file), key=int) == [str(n) for n in range(10)]
    assert cfg.val_dataloader.dataset.ann_file == file
    assert not any('no split' in line for line in lines)
    # So they are of the config that a run left, whose own training held out two of them.
    cfg, _ = fit(root, tmp_path / 'run')
    train, val = cfg.train_dataloader.dataset, cfg.val_dataloader.dataset
    assert (held_out_of(train.ann_file), held_out_of(val.ann_file)) == (None, 10)
    cfg.work_dir, cfg.folds, cfg.fold = str(tmp_path / 'fold'), 2, 0
    fit_boxes(cfg, {}, lines.append, True)
    assert train.ann_file == str(tmp_path / 'fold/annotations/train.json') == val.ann_file
    assert len(names(train.ann_file)) == 10
    # The answer of a search is retrained, and validated on images that did not choose it.
    search = dict(test_cfg=dict(bn_dataset=dict()))
    cfg, lines = fit(root, tmp_path / 'search', folds=2, fold=0, **search)
    assert len(names(cfg.train_dataloader.dataset.ann_file)) == 8


# ---- whole configs -------------------------------------------------------------------------------


def test_configs_of_ours(tmp_path):
    voc(tmp_path / 'data')
    options = dict(data_root=str(tmp_path / 'data'), work_dir=str(tmp_path / 'work'))
    path = str(ROOT / 'configs/spos/search_retinanet_coco.py')
    cfg = load_config(path, dict(options), writes=True)
    files = {split: f'{tmp_path}/work/annotations/{split}.json' for split in ('train', 'val')}
    train = cfg.train_dataloader.dataset.dataset
    assert train.ann_file == files['train']
    assert cfg.test_dataloader.dataset.dataset.ann_file == files['train']  # its held-out part
    assert cfg.test_cfg.bn_dataset.dataset.ann_file == files['train']
    assert cfg.val_dataloader.dataset.ann_file == cfg.val_evaluator.ann_file == files['val']
    assert cfg.test_evaluator.ann_file == files['train']
    assert train.metainfo.classes == ('cat', 'dog')
    assert cfg.model.bbox_head.num_classes == 2

    cfg.dump(str(tmp_path / 'work/copy.py'))
    again = load_config(str(tmp_path / 'work/copy.py'))
    assert again.train_dataloader.to_dict() == cfg.train_dataloader.to_dict()


# ---- YOLO, whose data.yaml may name a folder elsewhere -------------------------------------------


@pytest.mark.parametrize('is_outside', [False, True])
def test_pictures_are_where_the_yaml_says(tmp_path, is_outside):
    root = tmp_path / 'set'
    store = tmp_path / 'store' if is_outside else root
    for split, numbers in (('train', range(6)), ('val', range(6, 9))):
        for n in numbers:
            picture(store / f'images/{split}/{n}.jpg', n)
            label = store / f'labels/{split}/{n}.txt'
            label.parent.mkdir(parents=True, exist_ok=True)
            label.write_text(f'{n % 2} 0.5 0.5 0.25 0.5\n')
    root.mkdir(exist_ok=True)
    (root / 'data.yaml').write_text(
        f'path: {store}\ntrain: images/train\nval: images/val\nnames: [cat, dog]\n'
    )
    cfg = config(root, tmp_path / 'work')
    lines = []
    fit_boxes(cfg, {}, lines.append, True)
    dataset = cfg.val_dataloader.dataset
    content = json.loads(Path(dataset.ann_file).read_text())
    assert [a['bbox'] for a in content['annotations']] == [[24, 12, 16, 24]] * 3
    for image in content['images']:
        assert Path(root, dataset.data_prefix.img, image['file_name']).is_file()
    assert any(line.startswith(f'{root} is read as YOLO: data.yaml') for line in lines)
