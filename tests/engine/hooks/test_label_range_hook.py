"""A label that the model has no output for."""

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from mmpretrain.structures import DataSample
from test_search_run import build, data  # noqa: F401

from cream_mm.engine.hooks import LabelRangeHook


class _Runner:
    epoch = 0

    def __init__(self, **parts):
        self.model = torch.nn.Module()
        for name, num_classes in parts.items():
            head = torch.nn.Module()
            head.num_classes = num_classes
            self.model.add_module(name, head)


def test_a_label_out_of_range_of_a_classifier():
    hook, runner = LabelRangeHook(), _Runner(head=3)
    hook.before_train(runner)
    good = DataSample(metainfo=dict(img_path='a.jpg')).set_gt_label(2)
    bad = DataSample(metainfo=dict(img_path='b.jpg')).set_gt_label(3)
    hook.before_train_iter(runner, 0, dict(data_samples=[good]))
    with pytest.raises(ValueError, match='b.jpg has the label 3, but the model has 3 outputs'):
        hook.before_train_iter(runner, 0, dict(data_samples=[good, bad]))
    runner.epoch = 1  # every label was seen
    hook.before_train_iter(runner, 0, dict(data_samples=[bad]))


@pytest.mark.parametrize('label', [-1, 5])
def test_a_label_out_of_range_of_a_detector(label):
    hook, runner = LabelRangeHook(), _Runner(bbox_head=5)
    hook.before_train(runner)
    sample = DetDataSample(metainfo=dict(img_path='c.jpg'))
    sample.gt_instances = InstanceData(labels=torch.tensor([], dtype=torch.long))
    hook.before_train_iter(runner, 0, dict(data_samples=[sample]))
    sample.gt_instances = InstanceData(labels=torch.tensor([0, label]))
    with pytest.raises(ValueError, match=f'c.jpg has the label {label}.*labels 0 to 4'):
        hook.before_train_iter(runner, 0, dict(data_samples=[sample]))


def test_a_label_out_of_range_ends_a_run(data, tmp_path):  # noqa: F811
    runner = build(data, tmp_path / 'run', default_hooks=dict(
        label_range=dict(type='cream_mm.LabelRangeHook')))  # fmt: skip
    runner.model.head.num_classes = 2  # the folders have three classes
    with pytest.raises(ValueError, match=r'\.jpg has the label 2, but the model has 2 outputs'):
        runner.train()
