"""The pure parts of benchmarks/ranking/close.py; its runs are slow evidence of their own."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from cream_mm.config.load import load_config
from cream_mm.datasets.packed_images import write_packed
from cream_mm.files import PATH_LOG
from cream_mm.spaces import NASBench201Space

ROOT = Path(__file__).resolve().parents[2]
BESIDE = ('close', 'close_report', 'report', 'resident')


@pytest.fixture(scope='module')
def modules():
    """The three files, and nothing of theirs left behind."""
    before = {name: sys.modules.pop(name, None) for name in BESIDE}
    sys.path.insert(0, str(ROOT / 'benchmarks/ranking'))
    try:
        import close
        import close_report
        import resident

        yield SimpleNamespace(close=close, report=close_report, resident=resident)
    finally:
        sys.path.remove(str(ROOT / 'benchmarks/ranking'))
        from mmengine.registry import DATA_SAMPLERS, DATASETS, FUNCTIONS

        for registry, name in (
            (DATASETS, 'ResidentImages'),
            (DATA_SAMPLERS, 'BatchesOfRows'),
            (FUNCTIONS, 'as_it_is'),
        ):
            registry.module_dict.pop(name, None)
        for name in BESIDE:
            sys.modules.pop(name, None)
            if before[name] is not None:
                sys.modules[name] = before[name]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Two classes of ten packed images of 6 x 6 pixels."""
    root = tmp_path_factory.mktemp('packed')
    rng = np.random.default_rng(0)
    files = {name: [f'{i}.jpg' for i in range(10)] for name in ('a', 'b')}
    images = rng.integers(0, 256, (20, 6, 6, 3), dtype=np.uint8)
    write_packed(root / 'train', files, images)
    return str(root), images


def test_batches_pass_over_all_images_before_one_comes_again(modules):
    def rows(epoch, num_batches=3):
        sampler = modules.resident.BatchesOfRows(range(10), 0, 2, num_batches)
        sampler.set_epoch(epoch)
        assert len(sampler) == num_batches
        return list(sampler)

    found = [index for epoch in range(5) for index in rows(epoch)]
    assert [step for step, _ in found] == list(range(15))
    passes = [np.concatenate([r for _, r in found[i : i + 5]]) for i in (0, 5, 10)]
    assert all(sorted(one) == list(range(10)) for one in passes)
    assert passes[0].tolist() != passes[1].tolist()
    whole = rows(0, num_batches=15)  # epochs of another length: the same images at a step
    assert all((a == b).all() for (_, a), (_, b) in zip(found, whole))


def test_a_resident_batch_is_crops_of_padded_images_that_may_be_flipped(modules, folder):
    root, images = folder
    plain = modules.resident.ResidentImages(root, 'all', 0.2)
    rows = np.array([0, 13])
    batch = plain[4, rows]
    assert (batch['inputs'].permute(0, 2, 3, 1).numpy() == images[rows]).all()
    (sample,) = batch['data_samples']
    assert sample.gt_label.tolist() == [0, 1]

    data = modules.resident.ResidentImages(root, 'all', 0.2, padding=1)
    rows, seen = np.arange(20).repeat(20), set()
    found = data[0, rows]['inputs']
    assert (found == data[0, rows]['inputs']).all()
    assert not (found == data[1, rows]['inputs']).all()
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    for row, crop in zip(rows, found.permute(0, 2, 3, 1).numpy()):
        ways = [
            (y, x, flip)
            for y in range(3)
            for x in range(3)
            for flip in (1, -1)
            if (padded[row, y : y + 6, x : x + 6][:, ::flip] == crop).all()
        ]
        assert len(ways) == 1
        seen.add(ways[0])
    assert len(seen) == 18


def test_batches_kept_on_a_device_hold_what_the_evaluator_reads(modules, folder):
    from mmengine.registry import init_default_scope

    from cream_mm.datasets import ImageFolder
    from cream_mm.evaluation.kept_batches import KeptBatches

    init_default_scope('mmpretrain')
    data = ImageFolder(
        folder[0],
        pipeline=[dict(type='cream_mm.LoadImageFromFile'), dict(type='PackInputs')],
    )
    batches = KeptBatches(data, 10, np.random.default_rng(0), batch_size=4)
    kept = modules.resident.ResidentBatches(batches, 'cpu')
    assert kept.num_images == 10
    for one, other in zip(kept, batches):
        assert (one['inputs'] == torch.stack(other['inputs'])).all()
        labels = [int(sample.gt_label) for sample in other['data_samples']]
        assert one['data_samples'][0].gt_label.tolist() == labels


def test_effects_find_what_pairs_of_edges_add(modules, tmp_path):
    space = NASBench201Space(num_cells=1)
    rng = np.random.default_rng(0)

    def loss(arch):  # a conv3x3 helps on 0-3 alone, and none of it where 0-1 has one, too
        ops = [op for node in arch.stages for op in node]
        return 2.0 - (ops[3] == 3) * (ops[0] != 3)

    archs = [space.sample(rng) for _ in range(3000)]
    lines = [
        json.dumps(dict(step=i, arch=arch.to_list(), loss=loss(arch)))
        for i, arch in enumerate(archs)
    ]
    (tmp_path / PATH_LOG).write_text('\n'.join(lines) + '\n')
    found = modules.close.effects(tmp_path / PATH_LOG, space)
    true = np.array([-loss(arch) for arch in modules.close.rated_archs(space)])
    edges, pairs = (np.corrcoef(found[k]['scores'], true)[0, 1] for k in ('edges', 'pairs'))
    assert pairs > 0.97 > 0.92 > edges
    assert found['pairs']['loo_error'] < 0.6 * found['edges']['loo_error']


def test_rated_cells_are_500_different_classes_whatever_the_network(modules):
    cells = modules.close.rated_cells()
    space = NASBench201Space()
    assert len(set(cells)) == 500
    assert all(space.format(space.canonical(space.parse(cell))) == cell for cell in cells)
    full = [space.format(arch) for arch in modules.close.rated_archs(space)]
    assert full == cells


def test_truth_is_the_mean_of_a_class(modules, tmp_path):
    # A convolution on the one live way, over the edge 0-3 and over 0-1 and 1-3.
    cells = [
        '|none~0|+|none~0|none~1|+|nor_conv_1x1~0|none~1|none~2|',
        '|nor_conv_1x1~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|',
    ]
    path = tmp_path / 'table.csv'
    path.write_text('arch,cifar10-test\n' + ''.join(f'{c},{80 + i}\n' for i, c in enumerate(cells)))
    space = NASBench201Space()
    names = {space.format(space.canonical(space.parse(cell))) for cell in cells}
    found = modules.report.truth(path)
    assert set(found) == names
    assert np.mean(list(found.values())) == 80.5


def test_what_tells_the_bank(modules):
    told_by = modules.report.told_by
    counts = np.zeros((6, 5, 2))
    counts[:, 2, 0] = counts[:, 3, 1] = 10  # each operation has its bank
    assert told_by(counts, 1) == pytest.approx(1.0)
    assert told_by(counts, 0) == pytest.approx(0.0, abs=1e-9)
    assert told_by(counts, None) == pytest.approx(1.0)
    counts = np.zeros((6, 5, 2))
    counts[:3, 2:4, 0] = counts[3:, 2:4, 1] = 10  # the first three edges have one
    assert told_by(counts, 0) == pytest.approx(1.0)
    assert told_by(counts, 1) == pytest.approx(0.0, abs=1e-9)
    counts[:, 2:4] = [10, 0]  # all the same
    assert told_by(counts, None) == 0.0


def test_an_interval_is_students_and_bold_where_it_leaves_zero_out(modules):
    interval = modules.report.interval
    # t(0.975, 2) = 4.3027; sd 1 over sqrt(3)
    assert interval([1.0, 2.0, 3.0]) == '2.000 [-0.484, 4.484]'
    assert interval([1.0, 2.0, 3.0], sign=True) == '+2.000 [-0.484, +4.484]'
    assert interval([1.9, 2.0, 2.1], 2, sign=True) == '**+2.00 [+1.75, +2.25]**'
    assert interval([0.25]) == '0.250'


def test_measures_of_the_truth_itself_and_of_its_reverse(modules):
    cells = modules.report.rated()
    true = {cell: float(i) for i, cell in enumerate(cells)}
    found = modules.report.measures(list(true.values()), true)
    assert found == dict(tau=pytest.approx(1), spearman=pytest.approx(1), p5=1.0)
    found = modules.report.measures([-v for v in true.values()], true)
    assert found == dict(tau=pytest.approx(-1), spearman=pytest.approx(-1), p5=0.0)


def test_both_methods_differ_in_the_router_alone(modules):
    one, other = (
        load_config(str(ROOT / f'configs/ranking/{name}.py'), {}, check_data=False)
        for name in modules.close.METHODS.values()
    )
    router = other.model.backbone.pop('router')
    assert (router.type, router.num_banks) == ('cream_mm.GATESRouter', 3)
    for key in ('model', 'train_dataloader', 'optim_wrapper', 'param_scheduler', 'train_cfg'):
        assert one[key] == other[key]
    assert one.model.backbone.space.num_cells == 1


def test_the_page_holds_what_its_records_say(modules):
    page = ROOT / 'docs/results/close.md'
    content = json.loads(page.with_suffix('.json').read_text())
    assert content['format'] == modules.close.FORMAT
    assert content['rated'] == modules.close.rated_cells()
    text = page.read_text()
    for table in modules.report.mechanics_tables(content):
        assert table in text
