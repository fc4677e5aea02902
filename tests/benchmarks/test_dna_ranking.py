"""The pure parts of benchmarks/ranking/dna.py; its runs are slow evidence of their own."""

import json
import sys
from itertools import combinations, product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cream_mm.config.load import load_config
from cream_mm.spaces import MBConvSpace

ROOT = Path(__file__).resolve().parents[2]
BESIDE = ('dna', 'dna_report', 'naswot', 'regret', 'report', 'run')


@pytest.fixture(scope='module')
def modules():
    """Both files, and nothing of theirs left behind: other tests have a ``run`` of their own."""
    before = {name: sys.modules.pop(name, None) for name in BESIDE}
    sys.path.insert(0, str(ROOT / 'benchmarks/ranking'))
    try:
        import dna
        import dna_report

        yield SimpleNamespace(dna=dna, report=dna_report)
    finally:
        sys.path.remove(str(ROOT / 'benchmarks/ranking'))
        for name in BESIDE:
            sys.modules.pop(name, None)
            if before[name] is not None:
                sys.modules[name] = before[name]


@pytest.fixture(scope='module')
def space():
    return MBConvSpace.build('nas_bench_macro')


@pytest.fixture(scope='module')
def ratings():
    rng = np.random.default_rng(0)
    return [rng.random(3**depth).tolist() for depth in (2, 3, 3)]


def test_a_score_is_the_mean_of_the_sums_of_all_ways_to_write_a_network(modules, space, ratings):
    scores = modules.report.class_scores(ratings, space)
    assert len(scores) == 3969

    def total(text):
        a, b, c = (int(part, 3) for part in (text[:2], text[2:5], text[5:]))
        return ratings[0][a] + ratings[1][b] + ratings[2][c]

    def score(text):
        return scores[space.format(space.canonical(space.parse(text)))]

    assert score('12212121') == pytest.approx(total('12212121'))
    # An identity behind the first layer of block 2 or 3 commutes with what stands beside it.
    same = [a + b for a in ('12201', '12210') for b in ('202', '220')]
    assert len({score(text) for text in same}) == 1
    assert score(same[0]) == pytest.approx(np.mean([total(text) for text in same]))
    # That of stride 2 is a layer of its own, and in block 1 there is none beside it.
    assert score('01222222') == pytest.approx(total('01222222')) != score('10222222')
    # 6561 sums, each in one network.
    means = np.mean([total(''.join(x)) for x in product('012', repeat=8)])
    assert means == pytest.approx(sum(map(sum, ratings[:1])) / 9 + sum(map(sum, ratings[1:])) / 27)


def test_a_block_alone_and_standard_deviations(modules, ratings):
    alone = modules.report.in_another_way(ratings, 'block2')
    assert alone[1] == ratings[1] and not any(alone[0]) and not any(alone[2])
    for block in modules.report.in_another_way(ratings, 'z'):
        assert np.mean(block) == pytest.approx(0) and np.std(block) == pytest.approx(1)
    ranks = modules.report.in_another_way([[0.3, 0.1, 0.2]], 'ranks')
    assert ranks == [[2 / 3, 0.0, 1 / 3]]


def test_tau_of_a_made_table_by_counting_pairs(modules):
    truth = np.array([91.0, 89.0, 92.5, 93.0, 90.5, 80.0])
    scores = np.array([0.2, 0.3, 0.1, 0.9, 0.5, 0.0])
    layers = np.array([8, 8, 8, 8, 7, 7.0])
    masks = modules.report.masks_of(truth, layers)
    found = modules.report.taus(dict(dna=scores, flat=np.ones(6)), truth, masks)
    for subset, least in (('all', 0), ('accuracy >= 90', 90), ('accuracy >= 92', 92)):
        places = np.flatnonzero(truth >= least)
        signs = [
            np.sign((scores[i] - scores[j]) * (truth[i] - truth[j]))
            for i, j in combinations(places, 2)
        ]
        assert found[subset]['dna'] == pytest.approx(np.mean(signs), abs=1e-4)
        assert found[subset]['num'] == len(places) and found[subset]['flat'] is None
    assert found['without identity']['num'] == 4


def test_regret_by_brute_force(modules):
    rng = np.random.default_rng(1)
    for _ in range(20):
        scores, truth, macs = rng.integers(4, size=(3, 12)).astype(float)
        inside = rng.random(12) < 0.6
        inside[0] = True
        lost, place = modules.report.missed(scores, truth, macs, inside)
        best = min(np.flatnonzero(inside), key=lambda i: (-scores[i], macs[i]))
        assert inside[place] and lost == max(truth[inside]) - truth[place]
        assert (scores[place], macs[place]) == (scores[best], macs[best])


def test_the_class_of_a_block(modules, space):
    found = modules.report.block_class
    assert found((1, 0), 0, space) == '10'
    assert found((0, 1), 0, space) == '01'
    assert found((2, 0, 1), 1, space) == found((2, 1, 0), 1, space)
    assert found((0, 2, 1), 2, space) != found((0, 1, 2), 2, space)
    for block, (depth, number) in enumerate(((2, 9), (3, 21), (3, 21))):
        assert len({found(c, block, space) for c in product(range(3), repeat=depth)}) == number


def test_the_teacher_is_trained_as_the_supernets_are():
    teacher, spos, dna = (
        load_config(str(ROOT / f'configs/ranking/{name}.py'), {}, check_data=False)
        for name in ('teacher', 'spos', 'dna')
    )
    assert teacher.model.type == 'ImageClassifier'
    assert teacher.model.backbone.arch == dna.model.teacher.backbone.arch == '22222222'
    assert teacher.optim_wrapper == spos.optim_wrapper
    assert teacher.param_scheduler == spos.param_scheduler
    for cfg in (teacher, dna):
        assert cfg.train_dataloader == spos.train_dataloader
        assert cfg.train_cfg.max_epochs == spos.train_cfg.max_epochs == 7
        ours, theirs = cfg.model.data_preprocessor, spos.model.data_preprocessor
        assert (ours.mean, ours.std) == (theirs.mean, theirs.std)
    assert teacher.val_dataloader.dataset.folder == 'test'


def test_the_learning_rates_of_the_pilot(modules):
    for schedule, end in (('decay', 0.12), ('cosine', 0.0)):
        factors = [modules.dna.factor_of(schedule, share) for share in np.linspace(0.02, 1, 50)]
        assert factors == sorted(factors, reverse=True)
        assert factors[-1] == pytest.approx(end, abs=1e-6)
    assert modules.dna.factor_of('decay', 0) == 1
    assert modules.dna.factor_of('cosine', 0) == 0.01


@pytest.fixture(scope='module')
def made(modules, space, ratings):
    """A table whose accuracies are exactly what the ratings say, but for heads of blocks."""
    names = sorted(modules.report.class_scores(ratings, space))
    table = SimpleNamespace(space=space, names=names)
    table.rows = [SimpleNamespace(arch=space.parse(name)) for name in names]
    scores = modules.report.class_scores(ratings, space)
    table.heads = np.array([[name[i] == '0' for i in (0, 2, 5)] for name in names]).sum(1)
    table.truth = 90 - 5 * np.array([scores[name] for name in names]) - 3.0 * table.heads
    table.score = lambda r: -np.array(list(map(modules.report.class_scores(r, space).get, names)))
    return table


def test_what_a_layer_adds(modules, made, ratings):
    parts = modules.report.block_parts(made)
    assert [''.join(kinds) for kinds in zip(*parts)] == made.names
    assert (modules.report.strided_identities(parts) == made.heads).all()
    for block in range(3):
        found = modules.report.gains(ratings, made, parts, block)
        points, rating = found['later']
        assert points == pytest.approx(5 * rating, abs=1e-3)
        points, rating = found['head']
        assert points == pytest.approx(5 * rating + 3, abs=1e-3)
        pairs = modules.report.swaps(made, parts, block)
        # At the head each of its networks has two others; the number of pairs is counted by hand.
        heads = [pair for pair in pairs if pair[0] == 0]
        assert len(heads) == 2 * sum(part[0] == '0' for part in parts[block])
        for _, kinds, better, _ in pairs[:50]:
            differs = [a != b for a, b in zip(kinds, better)]
            assert differs == [b == block for b in range(3)]
            assert sum(kinds[block][i] != '0' for i in range(len(kinds[block]))) + 1 == sum(
                digit != '0' for digit in better[block]
            )
    rows = modules.report.gains_by_surroundings(made)
    assert list(rows[0]['before']) == ['0'] and list(rows[2]['before']) == list('012345')
    head = np.mean([x for layer, *_, x in modules.report.swaps(made, parts, 0) if layer == 0])
    assert rows[0]['before']['0'][0] == pytest.approx(head, abs=0.01)


def test_corrections_fitted_to_the_table_reach_it(modules, made, ratings):
    found = modules.report.least_squares([made.score(ratings), made.heads], made.truth)
    assert np.allclose(found, made.truth)
    fitted = modules.report.fitted_blocks(made, np.ones(len(made.names), bool))
    assert np.allclose(fitted, made.truth)  # a sum over blocks
    parts = modules.report.block_parts(made)
    assert modules.report.tau_within(made.truth, made, parts, 0) == pytest.approx(1)


def test_the_head_of_a_block_against_later_layers(modules):
    weights = {f'{s}.{layer}.{c}': 0.0 for s, d in ((1, 2), (2, 3), (3, 3))
               for layer in range(d) for c in range(3)}  # fmt: skip
    weights |= {'1.0.1': 2.0, '1.0.2': 4.0, '1.1.1': 1.0, '1.1.0': -1.0}
    weights |= {'2.0.2': 2.0, '2.1.1': 2.0, '2.2.2': 4.0, '3.0.0': -3.0, '3.1.0': -1.0}
    weights |= {'3.2.0': -2.0}
    assert modules.report.head_to_later(weights) == [2.0, round(1 / 1.5, 3), 2.0]


def test_ratings_of_the_training(modules):
    rng = np.random.default_rng(0)
    lines = []
    for _ in range(3000):
        arch = [rng.integers(3, size=2).tolist()]
        loss = 2.0 + 0.3 * arch[0][0] - 0.1 * arch[0][1]
        lines.append(dict(arch=arch, losses=dict(loss_block1=loss)))
    found = modules.dna.by_training(lines)
    expected = np.array([2 + 0.3 * a - 0.1 * b for a, b in product(range(3), repeat=2)]) / 2.2
    for name in found:
        assert found[name][0] == pytest.approx(expected, rel=0.02)
    logits = np.log([[[0.5, 0.5]], [[0.25, 0.75]]])
    import torch

    one, other = (torch.tensor(x) for x in logits)
    expected = 0.25 * np.log(0.25 / 0.5) + 0.75 * np.log(0.75 / 0.5)
    assert modules.dna.divergence([one], [other]) == pytest.approx(expected)


def test_the_committed_records_are_those_of_the_page(modules):
    page = ROOT / 'docs/results/dna.md'
    content = modules.dna.read_records(page.with_suffix('.json'))
    assert [run['seed'] for run in content['runs']] == [0, 1, 2]
    others = json.loads(page.with_name('ranking.json').read_text())['runs']
    cream = json.loads(page.with_name('regret.json').read_text())['runs']
    others = [run for run in others if run['setting'] == 'cpu']
    text = page.read_text()
    for table in modules.report.tables_of(content, others, cream):
        assert table in text
