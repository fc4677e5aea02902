"""Ratings of blocks: golden numbers of the released routine, sharing, resuming, a closed form."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import dna_supernet_key, golden_fill, made_cal, made_t, made_x, ramp
from test_dna import build

from cream_mm.evaluation.shared_prefix import SharedPrefix
from cream_mm.methods.dna import BlockRating, block_rating
from cream_mm.methods.dna.block_rating import relative_l1
from cream_mm.models import BlockSupernet
from cream_mm.models.layers.bn_policy import recalibrated

GOLDEN = json.loads((Path(__file__).parents[2] / 'data/dna_blocks_golden.json').read_text())


def test_relative_l1_in_closed_form():
    target = torch.tensor([[[[0.0, 2.0]]]])  # deviation sqrt(2), unbiased
    assert relative_l1([target], [target]) == 0
    assert relative_l1([target + 1], [target]) == pytest.approx(1 / 2**0.5)
    assert relative_l1([10 * target + 10], [10 * target]) == pytest.approx(1 / 2**0.5)
    two = torch.cat([target, target])
    assert two.std() != target.std()
    given = [two + 1, target + 5]
    expected = (2 * 1 / two.std() + 1 * 5 / target.std()) / 3  # by the number of images
    assert relative_l1(given, [two, target]) == pytest.approx(float(expected))


@pytest.fixture(scope='module')
def filled():
    net = BlockSupernet('dna', teacher_channels=(48, 80, 160, 224, 384, 640)).double()
    net.load_state_dict(golden_fill(net.state_dict(), dna_supernet_key))
    return net.eval()


@pytest.mark.parametrize('block', range(6))
def test_ratings_equal_those_of_the_released_code(filled, block):
    """One batch, and two of different size, calibrated on one batch."""
    row = GOLDEN['blocks'][block]
    shape, out = row['in_shape'], row['out_shape']
    x, t = ramp(made_x(shape)), made_t(out, 12345)
    x2, t2 = ramp(made_x([1, *shape[1:]], 5000)), made_t([1, *out[1:]], 12345 + 5000)
    c = ramp(made_cal(shape, 777))
    layers = [filled.cell_layers(block, 0, seq['ops']) for seq in row['seqs']]
    with torch.no_grad():
        shared = SharedPrefix(layers, [x, x2], [c], 2**30)
        for i, seq in enumerate(row['seqs']):
            maps = shared[i]
            one = relative_l1(maps[:1], [t])
            assert one == pytest.approx(seq['recal']['cl_loss'], rel=1e-8)
            both = relative_l1(maps, [t, t2])
            assert both == pytest.approx(row['cl_loss_two_batches'][i], rel=1e-8)


# ---- of a whole block ----------------------------------------------------------------------------


class Images(torch.utils.data.Dataset):
    def __init__(self, number, seed):
        generator = torch.Generator().manual_seed(seed)
        self.images = torch.randn(number, 3, 16, 16, generator=generator)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        return dict(inputs=self.images[i], data_samples=None)


class Preprocessor(torch.nn.Module):
    def forward(self, data, training=False):
        return dict(data, inputs=torch.stack(list(data['inputs'])))


def rating(model=None, **kwargs):
    model = model or build()
    model.data_preprocessor = Preprocessor()
    args = dict(batch_size=4, num_bn_images=8)
    return BlockRating(model, Images(10, 1), Images(12, 2), **{**args, **kwargs})


def nothing(*_):
    pass


def by_hand(rated, block, cell, choices):
    """One path run alone, its batch norm measured on the training images."""
    model, net = rated.model.eval(), rated.model.backbone
    stack = lambda batches: [torch.stack(list(b['inputs'])) for b in batches]  # noqa: E731
    images, bn_images = stack(rated.batches), stack(rated.bn_batches)
    before = lambda x: model.teacher(x)[block - 1] if block else x  # noqa: E731
    layers = net.cell_layers(block, cell, choices)

    def run(x):
        for layer in layers:
            x = layer.run(x)
        return x

    norms = [module for layer in layers for module in layer.norms]
    with torch.no_grad(), recalibrated(norms, lambda: [run(before(x)) for x in bn_images]):
        given = [run(before(x)) for x in images]
    return relative_l1(given, [model.teacher(x)[block] for x in images])


def test_every_candidate_is_rated_as_if_alone():
    rated = rating()
    space = rated.model.backbone.space
    for block in range(space.num_blocks):
        found = rated.rate(block, nothing)
        for cell, values in enumerate(found):
            expected = [by_hand(rated, block, cell, c) for c in space.candidates(block, cell)]
            assert values == pytest.approx(expected, rel=1e-6)
            assert len(set(values)) == len(values)


def test_a_teacher_in_batch_statistics_is_measured_anew_on_the_training_images():
    plain, released = rating(), rating(build(teacher=dict(mode='batch_stats')))
    a, b = plain.rate(1, nothing), released.rate(1, nothing)
    assert not np.allclose(a, b)
    # With the training images as the rated ones its maps are those of its batch statistics.
    model = released.model
    before = {k: v.clone() for k, v in model.teacher.state_dict().items()}
    images = [torch.stack(list(Images(8, 3).images))]
    with block_rating._fitted(model.teacher, images) as maps, torch.no_grad():
        assert model.teacher.mode == 'eval'
        again = model.teacher(images[0])
        for x, y in zip(maps[0], again):
            torch.testing.assert_close(x, y, rtol=3e-2, atol=3e-2)  # biased or not: n / (n - 1)
    assert model.teacher.mode == 'batch_stats'
    after = model.teacher.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_prefixes_are_shared():
    """1,554 layers and not 5,184 for the paths through four layers of six choices."""
    sizes = []
    for layers, choices in ((4, 6), (3, 2)):
        space = dict(strides=(2,), cells=[[(layers, 8)]], stem_channels=8, stem_stride=2,
                     choices=[(3, e) for e in range(1, choices + 1)])  # fmt: skip
        net = BlockSupernet(space, teacher_channels=(8,)).eval()
        paths = [net.cell_layers(0, 0, c)[1:] for c in net.space.candidates(0, 0)]
        with torch.no_grad():
            shared = SharedPrefix(
                paths, [torch.zeros(2, 8, 4, 4)], [torch.zeros(2, 8, 4, 4)], 2**30
            )
            for i in range(len(paths)):
                _ = shared[i]
        sizes.append((shared.layers_run, shared.layers_asked))
    assert sizes == [(1554, 5184), (2 + 4 + 8, 3 * 8)]


def test_a_rating_that_was_made_is_not_made_again(tmp_path, monkeypatch):
    log = tmp_path / 'ratings.jsonl'
    model = build()
    whole = rating(model).rate(0, nothing)

    monkeypatch.setattr(block_rating, 'CHUNK', 2)
    told = []

    def stop(done, known):
        told.append(done)
        if sum(told) >= 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rating(model, log_file=log).rate(0, stop)
    assert len(log.read_text().splitlines()) == 4  # two of the first cell, two of the second
    again, counts = rating(model, log_file=log), []
    assert again.rate(0, lambda done, known: counts.append((done, known))) == whole
    assert sum(known for _, known in counts) == 4 and sum(done for done, _ in counts) == 2 + 4
    # Of other weights nothing is known.
    with torch.no_grad():
        model.backbone.conv_stem.weight.mul_(1.1)
    assert len(rating(model, log_file=log).log) == 0


def test_what_is_known_asks_no_teacher(tmp_path, monkeypatch):
    model, log = build(), tmp_path / 'ratings.jsonl'
    whole = rating(model, log_file=log).rate(0, nothing)
    again, told = rating(model, log_file=log), []

    def forward(images):
        raise AssertionError('the teacher was asked')

    monkeypatch.setattr(model.teacher, 'forward', forward)
    assert again.rate(0, lambda *counts: told.append(counts)) == whole
    assert told == [(6, 6)]


def test_a_path_that_diverged_is_worse_than_any_other():
    model = build()
    with torch.no_grad():
        model.backbone.blocks[1][0][0][1].conv_pw.weight.fill_(float('nan'))
    (values,) = rating(model).rate(1, nothing)
    assert [v == 1e9 for v in values] == [False, False, True, True]
