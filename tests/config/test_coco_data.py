"""What a config makes of the COCO-style sets that it names."""

import json
from pathlib import Path

import pytest
from mmengine.config import Config
from PIL import Image

from cream_mm.config.coco_data import fit_coco, follow_annotations
from cream_mm.config.load import load_config

ROOT = Path(__file__).parents[2]
RETINANET = str(ROOT / 'configs/retinanet_cream.py')
CATEGORIES = [dict(id=7, name='cat'), dict(id=3, name='dog')]


def write(root, split, number=2, **changes):
    """Pictures of 64 x 48 pixels, each with a box of cat or of dog."""
    (root / 'annotations').mkdir(parents=True, exist_ok=True)
    folder = root / f'{split}2017'
    content = dict(images=[], annotations=[], categories=CATEGORIES)
    for i in range(number):
        path = folder / f'{split}{i}.png'
        if not path.exists():
            folder.mkdir(exist_ok=True)
            color = (100 * (split == 'val') + i, 50 * i, 0)
            Image.new('RGB', (64, 48), color).save(path)
        content['images'].append(dict(id=i, file_name=path.name, width=64, height=48))
        content['annotations'].append(
            dict(id=i + 1, image_id=i, category_id=(7, 3)[i % 2], bbox=[4, 4, 20 + i, 20], area=400,
                 iscrowd=0)
        )  # fmt: skip
    content.update(changes)
    (root / f'annotations/instances_{split}2017.json').write_text(json.dumps(content))
    return content


@pytest.fixture
def root(tmp_path):
    for split in ('train', 'val'):
        write(tmp_path, split)
    return tmp_path


def fit(root, *, kind='CocoDataset', classes=None, is_moved=False, **train):
    """The config of a detector of somebody's, its classes, and the lines."""

    def dataset(split, **more):
        return dict(
            type=kind, data_root=str(root), ann_file=f'annotations/instances_{split}2017.json',
            data_prefix=dict(img=f'{split}2017/'), **more,
        )  # fmt: skip

    metainfo = dict(metainfo=dict(classes=classes)) if classes else {}
    cfg = Config(
        dict(
            train_dataloader=dict(
                dataset=dict(
                    type='RepeatDataset', dataset={**dataset('train', **metainfo), **train}
                )
            ),
            val_dataloader=dict(dataset=dataset('val', **metainfo)),
            test_dataloader=dict(dataset=dataset('val')),
            val_evaluator=dict(type='mmdet.CocoMetric'),
            test_evaluator=[dict(type='CocoMetric', classwise=True)],
        )
    )
    follow_annotations(cfg)
    lines = []
    return cfg, fit_coco(cfg, lines.append, is_moved=is_moved), lines


def types(cfg):
    datasets = [cfg.train_dataloader.dataset.dataset, cfg.val_dataloader.dataset]
    return [d.type for d in (*datasets, cfg.val_evaluator, cfg.test_evaluator[0])]


def test_good_files_leave_a_config_with_mmdets_types(root):
    cfg, classes, lines = fit(root)
    assert classes == ['cat', 'dog'] and lines == []
    assert types(cfg) == ['CocoDataset', 'CocoDataset', 'mmdet.CocoMetric', 'CocoMetric']
    for dataset in (cfg.train_dataloader.dataset.dataset, cfg.val_dataloader.dataset,
                    cfg.test_dataloader.dataset):  # fmt: skip
        assert dataset.metainfo.classes == ('cat', 'dog')
    assert fit_coco(Config(dict(train_dataloader=dict())), print) is None


def test_what_mmdet_would_read_otherwise_is_read_by_ours(root):
    write(root, 'val', annotations=[dict(id=0, image_id=0, category_id=7, bbox=[1, 1, 9, 9])])
    cfg, _, lines = fit(root)
    ours = ['cream_mm.CocoDataset', 'cream_mm.CocoMetric', 'cream_mm.CocoMetric']
    assert types(cfg) == ['CocoDataset', *ours]
    path = f'{root}/annotations/instances_val2017.json'
    assert lines == [
        f'{path}: no area above 0: 1 of 1 annotations, computed from the segmentation or the box '
        '(annotation 0)',
        f'{path}: no iscrowd: 1 of 1 annotations, taken as 0 (annotation 0)',
        f'{path}: ids that are 0, missing, no whole numbers or not unique: 1 of 1 annotations, '
        'all numbered anew from 1 (0)',
    ]
    cfg, _, _ = fit(root, kind='mine.CocoDataset')
    assert cfg.val_dataloader.dataset.type == 'mine.CocoDataset'


# --- classes ---


def test_categories_in_another_order(root):
    write(root, 'val', categories=CATEGORIES[::-1])
    cfg, classes, (line,) = fit(root)
    assert classes == ['cat', 'dog'] and types(cfg)[1:] == [
        'cream_mm.CocoDataset', 'cream_mm.CocoMetric', 'cream_mm.CocoMetric'
    ]  # fmt: skip
    assert 'instances_val2017.json: it lists them in another order; labels go by name' in line
    cfg, classes, lines = fit(root, classes=('dog', 'cat'))
    assert classes == ['dog', 'cat'] and types(cfg)[0] == 'cream_mm.CocoDataset'
    assert 'train2017.json lists the classes in another order than the config' in lines[0]


def test_a_split_that_lacks_a_category(root):
    boxes = write(root, 'val')['annotations'][:1]
    write(root, 'val', categories=CATEGORIES[:1], annotations=boxes)
    cfg, classes, (line,) = fit(root)
    assert classes == ['cat', 'dog'] and "it does not list 'dog'; labels go by name" in line
    assert types(cfg)[1] == 'cream_mm.CocoDataset'


def test_a_split_with_a_category_of_its_own(root):
    more = [*CATEGORIES, dict(id=4, name='Cat')]
    write(root, 'val', categories=[CATEGORIES[1], more[2]],
          annotations=[dict(id=1, image_id=0, category_id=4, bbox=[1, 1, 9, 9])])  # fmt: skip
    with pytest.raises(ValueError, match=r"val2017.json has categories that .*train2017.json has "
                       r"not: 'Cat' \(1 boxes\); that has 'cat', 'dog'"):  # fmt: skip
        fit(root)
    write(root, 'val', categories=[*CATEGORIES, dict(id=4, name='emu')])  # without a box
    _, classes, (line,) = fit(root)
    assert classes == ['cat', 'dog'] and "it lists 'emu', too, without a box" in line


def test_the_category_that_holds_the_others_is_no_class(root):
    categories = [dict(id=0, name='pets', supercategory='none')]
    categories += [dict(c, supercategory='pets') for c in CATEGORIES]
    for split in ('train', 'val'):
        write(root, split, categories=categories)
    cfg, classes, lines = fit(root)
    assert classes == ['cat', 'dog'] and lines == [] and types(cfg)[0] == 'CocoDataset'


def test_classes_that_the_config_chooses(root):
    _, classes, lines = fit(root, classes=('dog',))
    assert classes == ['dog'] and len(lines) == 2
    assert 'no class of the config: 1 of 2 annotations, left out (cat 1)' in lines[0]
    _, classes, lines = fit(root, classes=('cat', 'dog', 'emu'))
    assert classes == ['cat', 'dog', 'emu'] and len(lines) == 2
    assert "no category for the classes 'emu'" in lines[0] and "not list 'emu'" in lines[1]


@pytest.mark.parametrize(
    'text, expected', [('dog', ['dog']), ('cat, dog', ['cat', 'dog']), ('dog,cat', ['dog', 'cat'])]
)
def test_classes_as_text(root, text, expected):
    _, classes, lines = fit(root, classes=text)
    assert classes == expected and f"classes='{text}' is text: read as" in lines[0]


@pytest.mark.parametrize(
    'classes, words',
    [
        (
            ('cat', 'dgo'),
            "names the classes 'dgo', which .* has not; it has 'dog', which the config",
        ),
        (('Cat', 'Dog'), "names the classes 'Cat', 'Dog'"),
        ('dogs', "names the classes 'dogs'"),  # never by a part of the text
        (('cat', 'cat'), "has 'cat' twice"),
    ],
)
def test_classes_that_are_not_those_of_the_data(root, classes, words):
    with pytest.raises(ValueError, match=words):
        fit(root, classes=classes)


def test_classes_of_the_data_before(root):
    """A config that a run wrote, on other data."""
    _, classes, lines = fit(root, classes=('red', 'green'), is_moved=True)
    assert classes == ['cat', 'dog'] and "has 'cat', 'dog' and not 'red', 'green'" in lines[0]


# --- pictures ---


def test_pictures_that_are_not_there(root):
    (root / 'train2017/train1.png').unlink()
    with pytest.raises(ValueError, match=r'train2017.json: 1 of its 2 pictures are not below .*'
                       r"train2017/: 'train1.png'. There: train0.png. Name"):  # fmt: skip
        fit(root)


def test_pictures_that_lie_together(root):
    """One folder for all splits, where the config expects one for each."""
    (root / 'images').mkdir()
    for path in [*root.glob('*2017/*.png')]:
        path.rename(root / 'images' / path.name)
    for split in ('train', 'val'):
        (root / f'{split}2017').rmdir()
    cfg, classes, lines = fit(root)
    assert cfg.train_dataloader.dataset.dataset.data_prefix.img == 'images'
    assert cfg.test_dataloader.dataset.data_prefix.img == 'images' and classes == ['cat', 'dog']
    assert f'no folder {root}/train2017/: the pictures of ' in lines[0]


def test_pictures_of_another_split_are_not_taken_for_its_own(root):
    for path in (root / 'val2017').glob('*'):
        path.unlink()
    (root / 'val2017').rmdir()
    write(root, 'val', images=write(root, 'train')['images'])
    for path in (root / 'val2017').glob('*'):
        path.unlink()
    (root / 'val2017').rmdir()
    with pytest.raises(FileNotFoundError, match='no image folder .*val2017'):
        fit(root)


def test_no_annotation_file_says_which_there_are(root):
    (root / 'annotations/instances_train2017.json').rename(root / 'labels.json')
    with pytest.raises(FileNotFoundError, match='no annotation file (.|\n)*There are: labels.json, '
                       'annotations/instances_val2017.json$'):  # fmt: skip
        fit(root)


# File and pictures of a split, as tools export them.
LAYOUTS = dict(
    roboflow=('{}/_annotations.coco.json', '{}'),
    cvat=('annotations/instances_{}.json', 'images/{}'),
    label_studio=('{}/result.json', '{}/images'),
    fiftyone=('{}/labels.json', '{}/data'),
    flat=('{}.json', 'images'),
)


@pytest.mark.parametrize('tool', LAYOUTS)
@pytest.mark.parametrize('val', ['val', 'valid', 'test'])
def test_layouts_of_tools_are_found(root, tool, val):
    for split, name in (('train', 'train'), ('val', val)):
        file, folder = (root / pattern.format(name) for pattern in LAYOUTS[tool])
        for path in (file.parent, folder):
            path.mkdir(parents=True, exist_ok=True)
        for path in (root / f'{split}2017').glob('*'):
            path.rename(folder / path.name)
        (root / f'{split}2017').rmdir()
        (root / f'annotations/instances_{split}2017.json').rename(file)
    cfg, classes, lines = fit(root)
    assert classes == ['cat', 'dog'] and len(lines) == 4  # the test set is the validation set
    for name, dataset in (('train', cfg.train_dataloader.dataset.dataset),
                          (val, cfg.val_dataloader.dataset),
                          (val, cfg.test_dataloader.dataset)):  # fmt: skip
        file, folder = (pattern.format(name) for pattern in LAYOUTS[tool])
        assert dataset.ann_file == file and dataset.data_prefix.img == folder
        assert f'no folder {root}/' in ''.join(lines)
    assert cfg.val_evaluator.ann_file == cfg.test_evaluator[0].ann_file == str(root / file)
    assert f'no {root}/annotations/instances_val2017.json: {root / file} is taken for it' in lines


def test_a_file_that_was_named_is_not_replaced(root):
    (root / 'annotations/instances_train2017.json').rename(root / 'annotations/train.json')
    with pytest.raises(FileNotFoundError, match='no annotation file .*train_3.json'):
        fit(root, ann_file='annotations/train_3.json')


def test_pictures_that_are_in_both_sets(root):
    (root / 'val2017/val1.png').write_bytes((root / 'train2017/train0.png').read_bytes())
    _, _, (line,) = fit(root)
    assert '1 of 2 pictures are in the training set, too: what is measured on them says' in line
    assert line.endswith(f'({root}/val2017/val1.png is {root}/train2017/train0.png)')


# --- what is left to train on ---


def test_a_training_set_without_boxes_is_refused(root):
    write(root, 'train', annotations=[])
    with pytest.raises(
        ValueError, match='train2017.json has no box of a class to train on: 2 images'
    ):
        fit(root)
    thin = [dict(id=1, image_id=0, category_id=7, bbox=[1, 1, 0.5, 9], area=4.5, iscrowd=0)]
    write(root, 'train', annotations=thin)
    with pytest.raises(
        ValueError, match="no box of a class to train on: 2 images and 1 boxes, of 'c"
    ):
        fit(root)


def test_images_that_are_all_too_small_are_refused(root):
    with pytest.raises(ValueError, match=r'smaller than filter_cfg.min_size=50 pixels \(the '
                       r'largest has 48\).*filter_cfg.min_size=1'):  # fmt: skip
        fit(root, filter_cfg=dict(min_size=50))
    Image.new('RGB', (64, 60)).save(root / 'train2017/train1.png')
    images = write(root, 'train')['images']
    write(root, 'train', images=[images[0], dict(images[1], height=60)])
    _, _, (line,) = fit(root, filter_cfg=dict(min_size=50))
    assert 'pixels: 1 of 2 images, not trained on (train0.png)' in line


def test_images_without_a_box_are_counted_where_they_are_left_out(root):
    boxes = write(root, 'train')['annotations']
    write(root, 'train', annotations=[box for box in boxes if box['image_id'] == 0])
    assert not fit(root, filter_cfg=dict(filter_empty_gt=False))[2]
    _, _, (line,) = fit(root, filter_cfg=dict(filter_empty_gt=True))
    assert 'train2017.json: without a box: 1 of 2 images, not trained on (train1.png); ' in line
    place = 'train_dataloader.dataset.dataset.filter_cfg.filter_empty_gt=False'
    assert f'; {place} trains them as background' in line


# --- through a config of ours ---


def test_a_config_of_ours(root, capsys):
    content = write(root, 'train')
    for annotation in content['annotations']:
        del annotation['area']
    write(root, 'train', annotations=content['annotations'])
    cfg = load_config(RETINANET, dict(data_root=str(root)))
    assert cfg.num_classes == 2 and cfg.train_dataloader.dataset.metainfo.classes == ('cat', 'dog')
    assert cfg.train_dataloader.dataset.type == 'cream_mm.CocoDataset'
    assert cfg.test_evaluator.type == 'cream_mm.CocoMetric'
    # The command line names other data than a config has classes of.
    options = dict(data_root=str(root))
    path = root / 'dumped.py'
    cfg.train_dataloader.dataset.metainfo = dict(classes=('red', 'green'))
    cfg.dump(str(path))
    assert load_config(str(path), options).num_classes == 2
    with pytest.raises(ValueError, match="the config names the classes 'red', 'green'"):
        load_config(str(path))


def without_crowds(root, split):
    path = root / f'annotations/instances_{split}2017.json'
    content = json.loads(path.read_text())
    for annotation in content['annotations']:
        annotation.pop('iscrowd')
    path.write_text(json.dumps(content))


def test_a_class_of_the_users_reads_the_file_as_it_stands(root):
    without_crowds(root, 'train')
    cfg, _, lines = fit(root, type='mine.CocoDataset')
    assert cfg.train_dataloader.dataset.dataset.type == 'mine.CocoDataset'
    said = [line for line in lines if 'train2017.json is read by mine.CocoDataset, as it' in line]
    assert len(said) == 1
    _, _, lines = fit(root, type='cream_mm.CocoDataset')
    assert not [line for line in lines if 'is read by' in line]


def test_a_metric_that_spells_the_place_otherwise(root):
    without_crowds(root, 'val')
    cfg, _, _ = fit(root)
    path = f'{root}/annotations/../annotations/instances_val2017.json'
    cfg.val_evaluator = dict(type='mmdet.CocoMetric', ann_file=path)
    fit_coco(cfg, print)
    assert cfg.val_evaluator.type == 'cream_mm.CocoMetric' and cfg.val_evaluator.ann_file == path


def test_pictures_are_compared_by_the_rank_that_says_it(root, monkeypatch):
    (root / 'val2017/val1.png').write_bytes((root / 'train2017/train1.png').read_bytes())
    assert [line for line in fit(root)[2] if 'are in the training set, too' in line]
    monkeypatch.setenv('RANK', '1')
    assert not [line for line in fit(root)[2] if 'are in the training set, too' in line]
