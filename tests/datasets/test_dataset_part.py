"""The two sides of a split of a detection set."""

import json
import pickle
from types import SimpleNamespace

import pytest
from mmengine.registry import DATASETS, DefaultScope

import cream_mm  # noqa: F401
from cream_mm.engine.holdout import holdout_of


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    """40 images, every fourth without a box; ids neither dense nor in order."""
    root = tmp_path_factory.mktemp('set')
    images = [dict(id=1000 - 7 * i, width=64, height=64, file_name=f'{i}.jpg') for i in range(40)]
    boxes = [
        dict(id=i + 1, image_id=image['id'], category_id=1, bbox=[1, 1, 20, 20], area=400,
             iscrowd=0)
        for i, image in enumerate(images) if i % 4
    ]  # fmt: skip
    content = dict(images=images, annotations=boxes, categories=[dict(id=1, name='ant')])
    (root / 'all.json').write_text(json.dumps(content))
    (root / 'turned.json').write_text(json.dumps(dict(content, images=images[::-1])))
    return root


def build(root, part, *, file='all.json', holdout=0.2, **kwargs):
    inner = dict(
        type='mmdet.CocoDataset', data_root=str(root), ann_file=file,
        metainfo=dict(classes=('ant',)), data_prefix=dict(img=''), pipeline=[],
        **kwargs.pop('inner', {}),
    )  # fmt: skip
    cfg = dict(type='cream_mm.DatasetPart', dataset=inner, part=part, holdout=holdout, **kwargs)
    with DefaultScope.overwrite_default_scope('mmdet'):
        return DATASETS.build(cfg)


def ids(dataset):
    return {dataset.get_data_info(i)['img_id'] for i in range(len(dataset))}


def test_every_image_is_on_one_side(root):
    train, held = build(root, 'train'), build(root, 'holdout')
    assert type(train).__name__ == 'CocoDataset' and train.metainfo['classes'] == ('ant',)
    assert len(train) == 32 and len(held) == 8 and not ids(train) & ids(held)
    assert len(ids(train) | ids(held)) == 40
    assert held.holdout == 0.2 and train.part == 'train'


def test_neither_filters_nor_the_order_move_an_image(root):
    held = ids(build(root, 'holdout'))
    no_empty = dict(filter_cfg=dict(filter_empty_gt=True, min_size=1))
    with_filter = ids(build(root, 'train', inner=no_empty))
    assert len(with_filter) < 32 and not with_filter & held
    assert ids(build(root, 'holdout', inner=dict(test_mode=True))) == held
    assert ids(build(root, 'holdout', file='turned.json')) == held
    assert ids(build(root, 'holdout', split_seed=1)) != held


def test_auto_is_ten_percent_of_a_small_set(root):
    held = build(root, 'holdout', holdout='auto')
    assert len(held) == 4 and held.holdout == 0.1  # the share itself, for the checkpoint
    wrapped = SimpleNamespace(datasets=[SimpleNamespace(dataset=held)])
    assert holdout_of(wrapped) == 0.1 and holdout_of(SimpleNamespace()) is None


def test_it_travels_to_workers(root):
    held = build(root, 'holdout')
    assert ids(pickle.loads(pickle.dumps(held))) == ids(held)


@pytest.mark.parametrize(
    'changes, error',
    [(dict(part='all'), "part is 'train' or 'holdout'"), (dict(holdout=1.5), 'holdout is a share')],
)
def test_arguments(root, changes, error):
    with pytest.raises(ValueError, match=error):
        build(root, **{'part': 'train', **changes})


def test_a_lazy_one_is_split_when_it_is_read(root):
    lazy = build(root, 'holdout', lazy_init=True)
    assert lazy.metainfo['classes'] == ('ant',) and not lazy._fully_initialized
    lazy.full_init()
    assert ids(lazy) == ids(build(root, 'holdout')) and len(lazy) == 8


def test_folds_hold_out_every_image_once(root):
    sides = [
        [build(root, part, folds=3, fold=fold, holdout='auto') for part in ('train', 'holdout')]
        for fold in range(3)
    ]
    for fold, (train, held) in enumerate(sides):
        assert not ids(train) & ids(held) and len(train) + len(held) == 40
        assert holdout_of(held) == f'fold {fold} of 3, seed 0'
        # Of 30 images with a box and 10 without, each third: 10 and 3 or 4.
        with_box = [held.get_data_info(i) for i in range(len(held))]
        assert sum(bool(info['instances']) for info in with_box) == 10
    assert sorted(i for _, held in sides for i in ids(held)) == sorted(
        ids(build(root, 'train')) | ids(build(root, 'holdout'))
    )
    turned = build(root, 'holdout', file='turned.json', folds=3, fold=1)
    assert ids(turned) == ids(sides[1][1])
    no_empty = dict(filter_cfg=dict(filter_empty_gt=True, min_size=1))
    assert not ids(build(root, 'train', folds=3, fold=1, inner=no_empty)) & ids(turned)
    assert pickle.loads(pickle.dumps(turned)).holdout == 'fold 1 of 3, seed 0'


def test_folds_that_cannot_be(root):
    with pytest.raises(ValueError, match='40 images cannot be dealt out to 41 folds'):
        build(root, 'train', folds=41, fold=0)
    with pytest.raises(ValueError, match='folds is 2 or more'):
        build(root, 'train', fold=0)


def test_images_made_of_one_picture_are_on_one_side(tmp_path):
    """Roboflow's copies of a picture; their first boxes are of two classes."""
    images = [
        dict(id=i, width=64, height=64, file_name=f'p{i % 8}_jpg.rf.{i:032x}.jpg')
        for i in range(24)
    ]
    boxes = [
        dict(id=i + 1, image_id=i, category_id=1 + i // 8 % 2, bbox=[1, 1, 20, 20], area=400,
             iscrowd=0)
        for i in range(24)
    ]  # fmt: skip
    kinds = [dict(id=1, name='ant'), dict(id=2, name='bee')]
    content = dict(images=images, annotations=boxes, categories=kinds)
    (tmp_path / 'all.json').write_text(json.dumps(content))
    seen = []
    for split in (dict(), dict(folds=2, fold=0), dict(folds=2, fold=1)):
        train, held = (
            {i % 8 for i in ids(build(tmp_path, part, holdout=0.25, **split))}
            for part in ('train', 'holdout')
        )
        assert not train & held and len(train | held) == 8
        seen.append(len(held))
    assert seen == [2, 4, 4]
