"""The data set on good files, where it is mmdet's, and on others."""

import json
import pickle

import pytest
from mmdet.datasets import CocoDataset as MMDetCocoDataset
from mmengine.registry import DATASETS, DefaultScope
from PIL import Image

import cream_mm  # noqa: F401
from cream_mm.datasets.coco_dataset import CocoDataset, class_names


def write(root, **changes):
    """Three pictures; two with boxes of cat (7) and dog (3), of which one is thin, one a crowd."""
    for i in range(3):
        if not (root / f'{i}.jpg').exists():
            Image.new('RGB', (64, 48)).save(root / f'{i}.jpg')
    boxes = [[4, 4, 20, 20], [10, 10, 30, 30], [5, 5, 0.5, 9], [20, 2, 12, 40]]
    content = dict(
        images=[dict(id=9 - i, file_name=f'{i}.jpg', width=64, height=48) for i in range(3)],
        annotations=[
            dict(id=i + 1, image_id=9 - i // 3, category_id=(7, 3)[i % 2], bbox=box,
                 area=box[2] * box[3], iscrowd=int(i == 1), segmentation=[[4, 4, 9, 4, 9, 9]])
            for i, box in enumerate(boxes)
        ],
        categories=[dict(id=7, name='cat'), dict(id=3, name='dog')],
    )  # fmt: skip
    (root / 'a.json').write_text(json.dumps({**content, **changes}))
    return content


def build(root, kind='cream_mm.CocoDataset', classes=('cat', 'dog'), **kwargs):
    cfg = dict(
        type=kind, data_root=str(root), ann_file='a.json', data_prefix=dict(img=''), pipeline=[],
        metainfo=dict(classes=classes) if classes else None,
    )  # fmt: skip
    with DefaultScope.overwrite_default_scope('mmdet'):
        return DATASETS.build({**cfg, **kwargs})


def samples(dataset):
    return [dataset.get_data_info(i) for i in range(len(dataset))]


def labels(dataset):
    return [[box['bbox_label'] for box in sample['instances']] for sample in samples(dataset)]


@pytest.mark.parametrize(
    'more',
    [{}, dict(test_mode=True), dict(filter_cfg=dict(filter_empty_gt=True, min_size=32)),
     dict(classes=('dog',)), dict(classes=('cat',), filter_cfg=dict(filter_empty_gt=True))],
    ids=str,
)  # fmt: skip
def test_a_good_file_gives_the_samples_of_mmdet(tmp_path, more):
    write(tmp_path)
    ours, theirs = build(tmp_path, **more), build(tmp_path, 'CocoDataset', **more)
    assert isinstance(ours, CocoDataset) and isinstance(ours, MMDetCocoDataset)
    assert samples(ours) == samples(theirs) and len(ours) >= 1
    assert ours.metainfo == theirs.metainfo and ours.cat_ids == theirs.cat_ids
    assert ours.get_cat_ids(0) == theirs.get_cat_ids(0)


def test_labels_go_by_name_and_not_by_the_order_of_the_file(tmp_path):
    content = write(tmp_path)
    assert labels(build(tmp_path)) == [[0, 1], [1], []]
    assert labels(build(tmp_path, classes=('dog', 'cat'))) == [[1, 0], [0], []]
    write(tmp_path, categories=content['categories'][::-1])
    assert labels(build(tmp_path)) == [[0, 1], [1], []]
    # mmdet, of the same file: the other way round.
    assert labels(build(tmp_path, 'CocoDataset')) == [[1, 0], [0], []]


def test_a_class_that_the_file_does_not_list_keeps_its_label(tmp_path):
    content = write(tmp_path)
    write(tmp_path, categories=content['categories'][1:], annotations=content['annotations'][1:2])
    dataset = build(tmp_path, classes=('cat', 'dog', 'emu'))
    assert labels(dataset) == [[1], [], []] and len(set(dataset.cat_ids)) == 3
    filtered = build(tmp_path, classes=('cat', 'dog'), filter_cfg=dict(filter_empty_gt=True))
    assert labels(filtered) == [[1]]


def test_classes_as_text_are_one_class(tmp_path):
    content = write(tmp_path)
    content['categories'][0]['name'] = 'cats'
    content['categories'][1]['name'] = 'cat'
    write(tmp_path, categories=content['categories'])
    dataset = build(tmp_path, classes='cats')
    assert dataset.metainfo['classes'] == ('cats',) and labels(dataset) == [[0], [], []]
    # mmdet takes each name that is a part of the text.
    assert labels(build(tmp_path, 'CocoDataset', classes='cats')) == [[0, 1], [1], []]
    (tmp_path / 'names.txt').write_text('cat\ncats\n\n')
    assert labels(build(tmp_path, classes=str(tmp_path / 'names.txt'))) == [[1, 0], [0], []]
    assert class_names(['a ', 5]) == ('a', '5')


def test_without_classes_they_are_cocos_where_the_file_has_those(tmp_path):
    write(tmp_path)
    dataset = build(tmp_path, classes=None)
    assert len(dataset.metainfo['classes']) == 80 and labels(dataset) == [[15, 16], [16], []]
    write(tmp_path, categories=[dict(id=7, name='ball'), dict(id=3, name='dog')])
    with pytest.raises(ValueError, match=r"has the categories 'ball', 'dog', .*metainfo=dict\(cl"):
        build(tmp_path, classes=None)
    build(tmp_path, classes=None, lazy_init=True)  # only asked for its metainfo


def test_classes_of_which_the_file_has_none_are_refused(tmp_path):
    write(tmp_path)
    with pytest.raises(
        ValueError, match="has the categories 'cat', 'dog', the data set the classes"
    ):
        build(tmp_path, classes=('Cat', 'cow'))


def test_what_is_mended_is_what_is_trained_on(tmp_path):
    """mmdet loses these boxes without a word, or fails."""
    content = write(tmp_path)
    images = [dict(id=i['id'], file_name=f'train\\{i["file_name"]}') for i in content['images']]
    boxes = [
        dict(id=0, image_id=9, category_id=7, bbox=[4, 4, 20, 20], area=0),
        dict(id=0, image_id=9, category_id=3, bbox=[50, 40, 30, 30]),
    ]
    write(tmp_path, images=images, annotations=boxes)
    first = build(tmp_path).get_data_info(0)
    assert (first['width'], first['height']) == (64, 48)
    assert first['img_path'] == str(tmp_path / '0.jpg')
    assert [box['bbox'] for box in first['instances']] == [[4, 4, 24, 24], [50, 40, 64, 48]]
    assert [box['ignore_flag'] for box in first['instances']] == [0, 0]


def test_it_travels_to_workers_and_needs_no_data_prefix(tmp_path):
    write(tmp_path)
    dataset = build(tmp_path, data_prefix=None)
    again = pickle.loads(pickle.dumps(dataset))
    assert samples(again) == samples(dataset) and len(again) == 3


def test_pictures_elsewhere_need_their_size_in_the_file(tmp_path):
    content = write(tmp_path)
    s3 = dict(data_prefix=dict(img='s3://bucket/'))
    assert build(tmp_path, **s3).get_data_info(0)['img_path'] == 's3://bucket/0.jpg'
    write(tmp_path, images=[dict(id=9, file_name='0.jpg')], annotations=content['annotations'][:1])
    with pytest.raises(ValueError, match='image 9 has no width and height'):
        build(tmp_path, **s3)
