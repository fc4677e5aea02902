"""errors.json of a training and of a test, in a real Runner."""

import json
from itertools import count

import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, METRICS, MODELS
from mmpretrain.models.heads import MultiLabelClsHead
from mmpretrain.structures import DataSample
from torch.utils.data import Dataset

from cream_mm.engine import Runner

_names = count()
LABELS = [0, 1, 1, 2]
# What epochs 1, 2 and 3 take the images for: 2, 4 and 3 of 4 are right.
PREDICTED = [[0, 1, 0, 0], [0, 1, 1, 2], [0, 1, 1, 0]]


@pytest.fixture
def parts():
    """A classifier that knows what it will say, and the images that it says it of."""

    class Says(BaseModel):
        predicted = iter(())

        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(()))

        def forward(self, inputs, data_samples, mode='loss'):
            if mode == 'loss':
                return dict(loss=self.weight * torch.stack(inputs).sum())
            for sample, predicted in zip(data_samples, next(Says.predicted), strict=True):
                score = torch.full((3,), 0.1)
                score[predicted] = 0.8
                sample.set_pred_score(score).set_pred_label(predicted)
            return data_samples

    class Four(Dataset):
        metainfo = dict(classes=('ant', 'bee', 'cat'))
        data_root = 'insects'

        def __len__(self):
            return 4

        def __getitem__(self, i):
            sample = DataSample(metainfo=dict(img_path=f'{i}.jpg')).set_gt_label(LABELS[i])
            return dict(inputs=torch.ones(1), data_samples=sample)

    class Right(BaseMetric):
        def process(self, data_batch, data_samples):
            self.results += [int(s['pred_label'] == s['gt_label']) for s in data_samples]

        def compute_metrics(self, results):
            return {'accuracy/top1': 100 * sum(results) / len(results)}

    for registry, kind in ((MODELS, Says), (DATASETS, Four), (METRICS, Right)):
        registry.register_module(name=kind.__name__, module=kind, force=True)
    Says.predicted = iter(PREDICTED)
    return Says


def runner(work_dir, **kwargs):
    loader = dict(
        dataset=dict(type='Four'),
        batch_size=4,
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='pseudo_collate'),
    )
    return Runner(
        model=dict(type='Says'),
        work_dir=str(work_dir),
        train_dataloader=loader,
        val_dataloader=loader,
        test_dataloader=loader,
        train_cfg=dict(by_epoch=True, max_epochs=3),
        val_cfg=dict(),
        test_cfg=dict(),
        val_evaluator=dict(type='Right'),
        test_evaluator=dict(type='Right'),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        default_scope='mmengine',
        experiment_name=f'errors_hook_{next(_names)}',
        **kwargs,
    )


def read(work_dir):
    return json.loads((work_dir / 'errors.json').read_text())


def test_a_training_keeps_those_of_its_best_validation(tmp_path, parts):
    runner(tmp_path).train()
    content = read(tmp_path)
    assert content['weights'] == 'of epoch 2'
    assert content['images'] == '4 images of insects'
    assert content['counts'] == [[0, 0, 1], [1, 1, 2], [2, 2, 1]] and content['wrong'] == []


def test_a_test_writes_its_own(tmp_path, parts):
    runner(tmp_path).test()
    content = read(tmp_path)
    assert content['classes'] == ['ant', 'bee', 'cat']
    assert content['counts'] == [[0, 0, 1], [1, 0, 1], [1, 1, 1], [2, 0, 1]]
    assert content['wrong'] == [
        dict(path='2.jpg', label=1, predicted=0, score=0.8),
        dict(path='3.jpg', label=2, predicted=0, score=0.8),
    ]


@pytest.mark.parametrize('what', ['several labels', 'paths of a supernet'])
def test_of_others_nothing_is_written(tmp_path, parts, what):
    run = runner(tmp_path)
    if what == 'several labels':
        loss = dict(type='mmpretrain.CrossEntropyLoss', use_sigmoid=True)
        run.model.head = MultiLabelClsHead(loss=loss)
    else:
        run.model.backbone = torch.nn.Identity()
        run.model.backbone.shares_weights = True
    run.test()
    assert not (tmp_path / 'errors.json').exists()
