"""The metric on good files, where it is mmdet's, and on others."""

import copy
import json

import numpy as np
import pytest
from mmdet.evaluation import CocoMetric as MMDetCocoMetric
from mmengine.registry import METRICS, DefaultScope

import cream_mm  # noqa: F401
from cream_mm.evaluation.bootstrap import coco_draws
from cream_mm.evaluation.coco_metric import CocoMetric

CLASSES = ('cat', 'dog', 'emu')


def scenes(number=8):
    """Annotations of 100 x 100 pixels, one a crowd, and what a middling detector finds in them."""
    rng = np.random.default_rng(3)
    images = [dict(id=90 - i, file_name=f'{i}.jpg', width=100, height=100) for i in range(number)]
    annotations, results = [], []
    for image in images:
        boxes, labels = [], []
        for _ in range(4):
            x, y, w, h = (*rng.uniform(0, 40, 2), *rng.uniform(10, 55, 2))
            label = int(rng.integers(3))
            annotations.append(
                dict(id=len(annotations) + 1, image_id=image['id'], category_id=(2, 5, 9)[label],
                     bbox=[x, y, w, h], area=0.8 * w * h, iscrowd=int(len(annotations) == 5),
                     segmentation=[[x, y, x + w, y, x + w, y + h]])
            )  # fmt: skip
            boxes.append(np.array([x, y, x + w, y + h]) + rng.normal(0, 2, 4))
            labels.append(label if rng.random() < 0.9 else (label + 1) % 3)
        found = dict(bboxes=np.array(boxes), labels=np.array(labels), scores=rng.random(4))
        results.append(({}, dict(img_id=image['id'], **found)))
    categories = [dict(id=i, name=name) for i, name in zip((2, 5, 9), CLASSES)]
    return dict(images=images, annotations=annotations, categories=categories), results


def perfect(content, classes=CLASSES):
    """Results that are the boxes themselves."""
    names = {c['id']: c['name'] for c in content['categories']}
    results = []
    for image in content['images']:
        mine = [a for a in content['annotations'] if a['image_id'] == image['id']]
        boxes = np.array([a['bbox'] for a in mine], dtype=float).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        labels = np.array([classes.index(names[a['category_id']]) for a in mine], dtype=int)
        found = dict(bboxes=boxes, labels=labels, scores=np.ones(len(mine)))
        results.append(({}, dict(img_id=image['id'], **found)))
    return results


def measure(path, content, results, kind='cream_mm.CocoMetric', classes=CLASSES, **kwargs):
    path.write_text(json.dumps(content))
    with DefaultScope.overwrite_default_scope('mmdet'):
        metric = METRICS.build(dict(type=kind, ann_file=str(path), **kwargs))
    metric.dataset_meta = dict(classes=classes)
    return metric, metric.compute_metrics(copy.deepcopy(results))


@pytest.mark.parametrize(
    'more', [{}, dict(classwise=True), dict(metric=['bbox', 'proposal'])], ids=str
)
def test_a_good_file_gives_the_values_of_mmdet(tmp_path, more):
    content, results = scenes()
    ours, values = measure(tmp_path / 'a.json', content, results, **more)
    theirs, expected = measure(tmp_path / 'a.json', content, results, 'CocoMetric', **more)
    assert isinstance(ours, CocoMetric) and isinstance(ours, MMDetCocoMetric)
    assert dict(values) == dict(expected) and 0.1 < values['bbox_mAP'] < 0.95
    assert ours.cat_ids == ours.label_ids == theirs.cat_ids == [2, 5, 9]
    weights = np.ones((1, len(results)), dtype=int)
    assert coco_draws(ours, results, 'bbox_mAP', weights) == coco_draws(
        theirs, results, 'bbox_mAP', weights
    )


def test_the_id_0_is_an_annotation_like_others(tmp_path):
    content, _ = scenes()
    for annotation in content['annotations']:
        annotation.update(id=annotation['id'] - 1, iscrowd=0)
    results = perfect(content)
    assert measure(tmp_path / 'a.json', content, results)[1]['bbox_mAP'] == 1
    # pycocotools takes what is matched to it for unmatched.
    assert measure(tmp_path / 'a.json', content, results, 'CocoMetric')[1]['bbox_mAP'] < 1


@pytest.mark.parametrize('key', ['id', 'area', 'iscrowd', 'segmentation'])
def test_perfect_boxes_are_perfect_whatever_is_missing(tmp_path, key):
    content, _ = scenes()
    for annotation in content['annotations']:
        annotation['iscrowd'] = 0
        annotation.pop(key)
    for image in content['images']:
        del image['width'], image['height']
    metric, values = measure(tmp_path / 'a.json', content, perfect(content))
    assert values['bbox_mAP'] == values['bbox_mAP_50'] == 1
    annotation = metric._coco_api.dataset['annotations'][0]
    area = annotation['bbox'][2] * annotation['bbox'][3]
    # Of the triangle, of the box, or as the file says.
    share = dict(area=0.5).get(key, 0.8)
    assert annotation['area'] == pytest.approx(share * area)


def test_boxes_that_nobody_could_find_do_not_count(tmp_path):
    content, _ = scenes()
    content['annotations'] = [dict(a, iscrowd=0) for a in content['annotations']]
    results = perfect(content)
    nobodys = ([10, 10, 0, 20], [300, 10, 20, 20], [])
    for i, box in enumerate(nobodys, 1000):
        content['annotations'].append(
            dict(id=i, image_id=90, category_id=2, bbox=box, area=1, iscrowd=0)
        )
    assert measure(tmp_path / 'a.json', content, results)[1]['bbox_mAP'] == 1


@pytest.mark.parametrize('classwise', [False, True])
def test_categories_in_another_order(tmp_path, classwise):
    """Values of each class stand beside its name; mmdet's table of an unsorted file mixes them."""
    content, results = scenes()
    classes = ('emu', 'cat', 'dog')  # ids 9, 2, 5
    turned = [
        ({}, dict(found, labels=np.array([1, 2, 0])[found['labels']])) for _, found in results
    ]
    _, expected = measure(tmp_path / 'a.json', content, results, classwise=classwise)
    metric, values = measure(
        tmp_path / 'a.json', content, turned, classes=classes, classwise=classwise
    )
    assert metric.label_ids == [9, 2, 5] and dict(values) == dict(expected)
    content['categories'].reverse()
    _, values = measure(tmp_path / 'b.json', content, turned, classes=classes, classwise=classwise)
    assert dict(values) == dict(expected)
    weights = np.ones((1, len(results)), dtype=int)
    draws = coco_draws(metric, turned, 'bbox_mAP', weights)
    assert draws[0] == pytest.approx(expected['bbox_mAP'], abs=6e-4)


def test_a_class_that_the_file_does_not_list(tmp_path):
    content, _ = scenes()
    content['annotations'] = [dict(a, iscrowd=0) for a in content['annotations']]
    classes = ('owl', *CLASSES)
    results = perfect(content, classes)
    results[0][1]['labels'][0] = 0  # an owl, where there is none
    metric, values = measure(tmp_path / 'a.json', content, results, classes=classes, classwise=True)
    assert metric.label_ids == [10, 2, 5, 9] and 0.9 < values['bbox_mAP'] < 1
    assert np.isnan(values['owl_precision'])


def test_results_name_the_categories_of_the_file(tmp_path):
    content, results = scenes()
    measure(tmp_path / 'a.json', content, results, classes=('emu', 'cat', 'dog'),
            outfile_prefix=str(tmp_path / 'out'))  # fmt: skip
    boxes = json.loads((tmp_path / 'out.bbox.json').read_text())
    by_label = np.array([9, 2, 5])[np.concatenate([found['labels'] for _, found in results])]
    assert [box['category_id'] for box in boxes] == by_label.tolist()


def test_masks_need_segmentations(tmp_path):
    content, results = scenes()
    del content['annotations'][7]['segmentation']
    with pytest.raises(
        ValueError, match='1 of 32 annotations have no segmentation, the first is 8'
    ):
        measure(tmp_path / 'a.json', content, results, metric=['bbox', 'segm'])
    (tmp_path / 'a.json').write_text('[]')
    with pytest.raises(ValueError, match='a.json: its top level is a list'):
        CocoMetric(ann_file=str(tmp_path / 'a.json'))


def test_without_a_file_the_boxes_of_the_data_set_are_taken(tmp_path):
    content, results = scenes()
    results = [
        (dict(img_id=found['img_id'], width=100, height=100,
              anns=[dict(bbox_label=int(label), bbox=box.tolist(), ignore_flag=0)
                    for box, label in zip(found['bboxes'], found['labels'])]), found)
        for _, found in results
    ]  # fmt: skip
    metric = CocoMetric()
    metric.dataset_meta = dict(classes=CLASSES)
    assert metric.compute_metrics(results)['bbox_mAP'] == 1


def test_one_file_serves_metric_and_data_set(tmp_path):
    """pycocotools writes into what it measures against; a data set built later must not see it."""
    from cream_mm.datasets.coco_file import read_coco

    content, results = scenes()
    (tmp_path / 'a.json').write_text(json.dumps(content))
    before = copy.deepcopy(read_coco(tmp_path / 'a.json').content)
    measure(tmp_path / 'a.json', content, results)
    assert read_coco(tmp_path / 'a.json').content == before
