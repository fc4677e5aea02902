"""The check of a detector's file finds what may be wrong with one."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.structures import InstanceData

pytest.importorskip('mmdet')

from made_detector import made_detector
from mmdet.structures import DetDataSample

from cream_mm.deploy.box_match import Rows
from cream_mm.deploy.detector import graph_of
from cream_mm.deploy.detector_parity import Beside, Meter, check, scaled_back

ABOUT = dict(task='detection', input=dict(size=[64, 96], dynamic=['batch', 'size']), resize=None)


def mixed_up(out):
    return {name: value[::-1].copy() for name, value in out.items()}


def moved(out):
    return dict(out, boxes=np.where(out['labels'][..., None] >= 0, out['boxes'] + 1, 0))


def other_classes(out):
    return dict(out, labels=np.where(out['labels'] >= 0, (out['labels'] + 1) % 3, -1))


def one_less(out):
    out = {name: value.copy() for name, value in out.items()}
    for name, empty in (('boxes', 0), ('scores', 0), ('labels', -1)):
        out[name][:, 4:] = empty
    return out


def not_empty(out):
    return dict(out, labels=np.where(out['labels'] < 0, 0, out['labels']))


@pytest.fixture(scope='module')
def model():
    return made_detector('RetinaSepBNHead', test_cfg=dict(score_thr=0.6, max_per_img=100))


def run_of(model, change=lambda out: out):
    graph, names = graph_of(model, dynamic_size=True)

    def run(image):
        with torch.no_grad():
            outs = graph(torch.from_numpy(image))
        return change({name: out.numpy() for name, out in zip(names, outs)})

    return run


def test_a_file_that_does_what_the_model_does(model):
    report = check('x', run_of(model), model, None, about=ABOUT)
    assert report.passed, report.lines
    numbers = report.numbers
    assert numbers['batches']['images'] == 11 and numbers['batches']['boxes'] > 50
    assert numbers['batches']['score'] < 1e-5
    assert numbers['sizes']['images'] == 22 and numbers['small']['images'] == 2
    assert 'no validation set' in report.lines[-1]  # nor a note


def test_a_model_that_finds_nothing(model):
    nothing = made_detector('RetinaSepBNHead', test_cfg=dict(score_thr=0.999, max_per_img=100))
    report = check('x', run_of(nothing), nothing, None, about=ABOUT)
    assert report.passed and 'no box is compared' in report.lines[-1]


@pytest.mark.parametrize('change', [mixed_up, moved, other_classes, one_less, not_empty])
def test_a_file_that_does_not(model, change):
    report = check('x', run_of(model, change), model, None, about=ABOUT)
    assert not report.passed and 'FAILED' in '\n'.join(report.lines)


def test_another_threshold_in_the_file(model):
    other = made_detector('RetinaSepBNHead', test_cfg=dict(score_thr=0.7, max_per_img=100))
    other.load_state_dict(model.state_dict())
    report = check('x', run_of(other), model, None, about=ABOUT)
    assert any('only theirs' in line for line in report.failures)


def test_boxes_in_pixels_of_the_original_image():
    sample = DetDataSample(metainfo=dict(ori_shape=(80, 100)))
    boxes = np.array([[5, 10, 20, 30], [40, 5, 60, 20], [51, 0, 60, 9]], np.float32)
    rows = Rows(boxes, np.array([0.9, 0.8, 0.7], np.float32), np.array([2, 0, 1]))
    found = scaled_back(sample, rows, (0.5, 0.25)).pred_instances
    assert found.bboxes.tolist() == [[10, 40, 40, 80], [80, 20, 100, 80]]  # the third is padding
    assert found.labels.tolist() == [2, 0]


def test_map_of_some_images_of_the_set(tmp_path):
    corners = [[10, 10, 30, 40], [5, 5, 20, 20], [1, 1, 9, 9]]
    content = dict(
        images=[dict(id=i, file_name=f'{i}.jpg', width=50, height=50) for i in range(3)],
        annotations=[
            dict(
                id=i + 1, image_id=i, category_id=1, iscrowd=0, area=(x2 - x1) * (y2 - y1),
                bbox=[x1, y1, x2 - x1, y2 - y1],
            )
            for i, (x1, y1, x2, y2) in enumerate(corners)
        ],
        categories=[dict(id=1, name='card')],
    )  # fmt: skip
    (tmp_path / 'boxes.json').write_text(json.dumps(content))
    cfg = Config(
        dict(
            val_evaluator=dict(
                type='cream_mm.CocoMetric', ann_file=str(tmp_path / 'boxes.json'), metric='bbox',
                outfile_prefix=str(tmp_path / 'written'),
            )
        )
    )  # fmt: skip

    class Set:
        metainfo = dict(classes=('card',))

    def value(images, found):
        meter = Meter(cfg, Set())
        for i in images:
            boxes = torch.tensor([corners[i]] if i in found else [[40.0, 40, 49, 49]]).float()
            sample = DetDataSample(metainfo=dict(img_id=i, ori_shape=(50, 50)))
            sample.pred_instances = InstanceData(
                bboxes=boxes, scores=torch.tensor([0.5]), labels=torch.tensor([0])
            )
            meter.add([sample])
        return meter.value()

    assert value([0, 1], [0, 1]) == pytest.approx(100)  # the third is not asked for
    assert value([0], []) == 0
    assert 0 < value([0, 1], [0]) < 60
    assert sorted(p.name for p in tmp_path.iterdir()) == ['boxes.json']


def test_boxes_beside_those_of_single_photographs():
    """One moved and surer, one of another class, one below the threshold on one side."""

    def sample(*rows):
        boxes, scores, labels = zip(*rows)
        found = InstanceData(
            bboxes=torch.tensor(boxes, dtype=torch.float32), scores=torch.tensor(scores),
            labels=torch.tensor(labels),
        )  # fmt: skip
        return SimpleNamespace(pred_instances=found)

    box, far, third = [0, 0, 10, 10], [50, 50, 60, 60], [80, 80, 90, 90]
    beside = Beside()
    beside.add(
        sample((box, 0.7, 0), (far, 0.6, 1), (third, 0.29, 2)),
        sample(([1, 0, 11, 10], 0.65, 0), (far, 0.6, 2), (third, 0.31, 2)),
    )
    assert (beside.file, beside.torch, beside.both) == (2, 3, 1)
    assert beside.score == pytest.approx(0.05) and beside.differs
    same = Beside()
    same.add(sample((box, 0.7, 0), (box, 0.6, 0)), sample((box, 0.7, 0), (box, 0.60005, 0)))
    assert same.both == 2 and not same.differs
