"""What a record says of each image, and what two of them differ by."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmpretrain.structures import DataSample
from torch import nn

from cream_mm.apis import compare_record
from cream_mm.apis.compare_record import answers, check_record, difference, settings_hash

LOGITS = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 1.0]])
LABELS = torch.tensor([0, 0, 0])


class Classifier(nn.Module):
    """Answers with its inputs."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def data_preprocessor(self, batch, training):
        return batch

    def forward(self, inputs, mode):
        assert mode == 'tensor'
        return inputs


def test_answers(monkeypatch):
    def batch(rows):
        samples = [DataSample(metainfo=dict(img_path=f'/data/val/a/{i}.jpg')) for i in rows]
        for i, sample in zip(rows, samples):
            sample.set_gt_label(int(LABELS[i]))
        return dict(inputs=LOGITS[rows], data_samples=samples)

    loader = [batch([0, 1]), batch([2])]
    monkeypatch.setattr(compare_record.Runner, 'build_dataloader', lambda cfg: loader)
    said = answers(Classifier(), Config(dict(val_dataloader=dict(dataset=dict()))))
    expected = F.cross_entropy(LOGITS.double(), LABELS, reduction='none')
    assert said['hits'] == '101' and said['num_images'] == 3
    assert said['losses'] == [round(float(loss), 4) for loss in expected]
    assert said['ce'] == pytest.approx(float(expected.mean()))
    assert said['top1'] == pytest.approx(200 / 3)
    loader.reverse()  # the same images in another order are not the same record
    other = answers(Classifier(), Config(dict(val_dataloader=dict(dataset=dict()))))
    assert other['images'] != said['images']


def record(hits, images='same'):
    return dict(format='cream_mm.comparison/1', name='one', images=images, hits=hits,
                losses=[0.5 * int(hit) for hit in hits], num_images=len(hits))  # fmt: skip


def test_differences_are_pooled_over_the_folds():
    ones, others = [record('11'), record('0111')], [record('10'), record('0101')]
    found = difference(ones, others)
    assert found.mean == pytest.approx(100 * 2 / 6)  # two of six images, not the mean of the folds
    assert difference(ones, others, 'ce').mean == pytest.approx(0.5 * 2 / 6)
    with pytest.raises(ValueError, match='one and one were tested on different images'):
        difference([record('11')], [record('11', images='others')])


def test_an_image_counts_once_however_many_seeds_saw_it():
    seeds = [record('1100'), record('1110')]
    found = difference([seeds], [[record('0100'), record('0100')]])
    less = np.array([100, 0, 50, 0])
    half = 1.959964 * less.std(ddof=1) / 2
    assert found.mean == pytest.approx(37.5) and found.high == pytest.approx(37.5 + half)
    with pytest.raises(ValueError, match='tested on different images'):
        difference([[record('11'), record('11', images='others')]], [record('11')])


def test_what_is_no_record_is_refused():
    assert check_record(record('10'), 'x.json') == record('10')
    for wrong in (dict(record('10'), hits='1'), dict(record('10'), format='else'), [1]):
        with pytest.raises(ValueError, match='x.json is no record of a comparison'):
            check_record(wrong, 'x.json')


def test_a_hash_knows_its_parts_apart():
    assert settings_hash('a', 'b') == settings_hash('a', 'b') != settings_hash('ab', '')
