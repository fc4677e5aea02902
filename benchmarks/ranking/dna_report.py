"""Ranks NAS-Bench-Macro by ratings of blocks, and makes docs/results/dna.md of it."""

import json
import statistics
from collections import defaultdict
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
from naswot import rated_by_run, read_records  # this and the next two are beside this file
from regret import SHARES, highest, interval, open_table, weights_of
from report import SCORES, SUBSETS, tau, write_between

from cream_mm.costs import Budget
from cream_mm.evaluation import correlation, num_layers
from cream_mm.evaluation.rank_correlation import best_first
from cream_mm.files import write_json
from cream_mm.search import MainEffects
from cream_mm.spaces import MBConvSpace
from cream_mm.structures.randomness import named_rng

BEGIN, END = (
    '<!-- begin of benchmarks/ranking/dna.py -->',
    '<!-- end of benchmarks/ranking/dna.py -->',
)
DEPTHS = (2, 3, 3)  # layers of the blocks
BASELINES = dict(
    macs='MACs', params='params', layers='layers that are no identity',
    naswot='NASWOT, untrained', random='random',
)  # fmt: skip
# Other ways to make a score of the same ratings, and ratings made in another way: a diagnosis.
WAYS = dict(
    z='each block in standard deviations of its ratings',
    ranks='each block by ranks',
    block1='block 1 alone',
    block2='block 2 alone',
    block3='block 3 alone',
)
LABELS = {
    **WAYS,
    'training loss': 'losses of the training, last two thirds: mean of each candidate',
    'training loss, effects of choices': 'the same, effects of single choices',
    'recalibrated, after 7 epochs': 'relative L1 once more, of batches of 64',
    'recalibrated, after 3 epochs': 'relative L1 after 3 of 7 epochs',
    'recalibrated, after 1 epochs': 'relative L1 after 1 of 7 epochs',
    'batch statistics, after 7 epochs': 'relative L1, batch norm by batch statistics',
}


# ---- scores of networks --------------------------------------------------------------------------


def class_scores(ratings: Sequence[Sequence[float]], space: MBConvSpace) -> dict[str, float]:
    """Sum of its blocks' ratings, of every network; lower is better.

    Identities of stride 1 commute with what stands beside them in a block, so one network may be
    written in several ways, and a supernet rates each. Its score is their mean, as its accuracy
    is.

    Args:
        ratings (Sequence[Sequence[float]]): Of each block's candidates; the first layer changes
            last.
        space (MBConvSpace): Of the networks.

    Returns:
        dict[str, float]: By the digits of the canonical form.
    """
    depths = space.depths
    size = len(space.choices)
    blocks = [
        dict(zip(product(range(size), repeat=depth), block, strict=True))
        for depth, block in zip(depths, ratings, strict=True)
    ]
    sums = defaultdict(list)
    for parts in product(*blocks):
        text = ''.join(str(choice) for part in parts for choice in part)
        name = space.format(space.canonical(space.parse(text)))
        sums[name].append(sum(block[part] for block, part in zip(blocks, parts)))
    return {name: statistics.fmean(values) for name, values in sums.items()}


def in_another_way(ratings: Sequence[Sequence[float]], way: str) -> list[list[float]]:
    """Ratings whose sums are another score; see ``WAYS``."""
    if way.startswith('block'):
        keep = int(way[-1]) - 1
        return [[x * (b == keep) for x in block] for b, block in enumerate(ratings)]
    if way == 'ranks':
        return [(np.argsort(np.argsort(block)) / len(block)).tolist() for block in ratings]
    return [((np.array(block) - np.mean(block)) / np.std(block)).tolist() for block in ratings]


def masks_of(truth: np.ndarray, layers: np.ndarray) -> dict[str, np.ndarray]:
    """The subsets of docs/results/ranking.md."""
    return {
        'all': truth > -1,
        'accuracy >= 90': truth >= 90,
        'accuracy >= 92': truth >= 92,
        'without identity': layers == sum(DEPTHS),
    }


def taus(scorings: dict[str, np.ndarray], truth: np.ndarray, masks: dict) -> dict:
    """By subset ``num`` and Kendall's tau-b of each scoring, None where there is none."""
    found = {}
    for subset, mask in masks.items():
        values = {k: correlation(v[mask], truth[mask])['kendall'] for k, v in scorings.items()}
        found[subset] = dict(
            num=int(mask.sum()),
            **{k: round(v, 4) if np.isfinite(v) else None for k, v in values.items()},
        )
    return found


def missed(
    scores: np.ndarray, truth: np.ndarray, macs: np.ndarray, inside: np.ndarray
) -> tuple[float, int]:
    """Accuracy that the best-scored network of those inside misses, and its place.

    Shapes:
        scores, truth, macs: (n,). inside: (n,), bool.
    """
    places = np.flatnonzero(inside)
    picked = places[best_first(scores[places], macs[places])[0]]
    return float(truth[places].max() - truth[picked]), int(picked)


# ---- what is derived from a record ---------------------------------------------------------------


class Table:
    """The networks of NAS-Bench-Macro with all that does not depend on a run."""

    def __init__(self, args):
        table, self.cost_model = open_table(args)
        self.rows = table.rows
        self.space = self.cost_model.space
        self.names = [self.space.format(self.space.canonical(row.arch)) for row in self.rows]
        self.truth = np.array([row.accuracy for row in self.rows])
        self.macs = np.array([row.macs_m for row in self.rows])
        self.params = np.array([row.params_m for row in self.rows])
        self.layers = np.array([num_layers(row.arch, self.space) for row in self.rows], float)
        self.rated = np.isin(np.arange(len(self.rows)), rated_by_run(self.rows))
        self.inside = {}
        for share in SHARES:
            budget = Budget(self.cost_model, macs_m=(0, highest(self.cost_model, share)))
            self.inside[share] = np.array([budget.is_feasible(row.arch) for row in self.rows])
        self.naswot = {
            run['seed']: np.array([run['scores'][name] for name in self.names])
            for run in read_records(args.naswot)
        }

    def score(self, ratings: Sequence[Sequence[float]]) -> np.ndarray:
        """(n,), higher is better."""
        found = class_scores(ratings, self.space)
        return -np.array([found[name] for name in self.names])

    def scorings(self, run: dict) -> dict[str, np.ndarray]:
        seed = run['seed']
        return dict(
            dna=self.score(run['ratings']),
            macs=self.macs,
            params=self.params,
            layers=self.layers,
            naswot=self.naswot[seed],
            random=named_rng('dna_random', seed, 0).random(len(self.rows)),
        )


def derive(run: dict, table: Table) -> None:
    """Complete a record with what its ratings say of the networks."""
    scorings = table.scorings(run)
    masks = masks_of(table.truth, table.layers)
    run['tau'] = dict(
        all=taus(scorings, table.truth, masks),
        rated=taus(scorings, table.truth, {k: m & table.rated for k, m in masks.items()}),
    )
    ways = {way: table.score(in_another_way(run['ratings'], way)) for way in WAYS}
    ways |= {name: table.score(x) for name, x in run.get('variants', {}).items()}
    run['tau_of_ways'] = taus(ways, table.truth, masks)
    run['regret'] = {}
    for share, inside in table.inside.items():
        truth = table.truth[inside]
        deepest = table.layers[inside] == table.layers[inside].max()
        regret, picked = {}, None
        for name in ('dna', 'naswot', 'macs', 'params'):
            regret[name], place = missed(scorings[name], table.truth, table.macs, inside)
            picked = table.names[place] if name == 'dna' else picked
        regret['layers'] = float(truth.max() - truth[deepest].mean())
        regret['random'] = float(truth.max() - truth.mean())
        run['regret'][str(share)] = dict(
            networks=int(inside.sum()), best=round(float(truth.max()), 4), picked=picked,
            **{name: round(value, 4) for name, value in regret.items()},
        )  # fmt: skip
    run['diagnosis'] = diagnosis(run['ratings'], scorings['dna'], table)


def diagnosis(ratings: Sequence[Sequence[float]], score: np.ndarray, table: Table) -> dict:
    """Where a ranking comes from. True accuracies take part: for the reader, not for a search."""
    blocks, parts = [], block_parts(table)
    for b, part in enumerate(parts):
        kinds = sorted(set(part))
        of_class = {kind: [] for kind in kinds}
        size = len(table.space.choices)
        for choices, rating in zip(product(range(size), repeat=DEPTHS[b]), ratings[b]):
            of_class[block_class(choices, b, table.space)].append(rating)
        rating = -np.array([statistics.fmean(of_class[kind]) for kind in kinds])
        members = [np.flatnonzero(np.array(part) == kind) for kind in kinds]
        accuracy = np.array([table.truth[m].mean() for m in members])
        macs = np.array([table.macs[m].mean() for m in members])
        depth = np.array([sum(c != '0' for c in kind) for kind in kinds], float)
        full = depth == DEPTHS[b]
        pairs = dict(rating=rating, macs=macs, layers=depth)
        blocks.append(dict(
            candidates=len(kinds),
            tau={k: round(correlation(v, accuracy)['kendall'], 4) for k, v in pairs.items()},
            tau_no_identity=round(correlation(rating[full], accuracy[full])['kendall'], 4),
            tau_with_layers=round(correlation(rating, depth)['kendall'], 4),
            tau_with_macs=round(correlation(rating, macs)['kendall'], 4),
            sd_rating=round(float(np.std(rating)), 5),
            sd_accuracy=round(float(np.std(accuracy)), 3),
            by_layers={
                str(int(d)): [round(float(-rating[depth == d].mean()), 4),
                              round(float(accuracy[depth == d].mean()), 2)]
                for d in sorted(set(depth))
            },
            tau_one_block=round(tau_within(score, table, parts, b), 4),
        ))  # fmt: skip
    strata = {}
    for depth in sorted(set(table.layers)):
        mask = table.layers == depth
        if mask.sum() >= 20:
            strata[str(int(depth))] = dict(
                num=int(mask.sum()),
                **{
                    name: round(correlation(v[mask], table.truth[mask])['kendall'], 4)
                    for name, v in dict(dna=score, macs=table.macs).items()
                },
            )
    heads = strided_identities(parts)
    by_heads = {
        str(n): dict(
            num=int((heads == n).sum()),
            **{
                name: round(correlation(v[heads == n], table.truth[heads == n])['kendall'], 4)
                for name, v in dict(dna=score, layers=table.layers).items()
            },
        )
        for n in sorted(set(heads))
    }
    alone = [table.score(in_another_way(ratings, f'block{b + 1}')) for b in range(len(DEPTHS))]
    masks = masks_of(table.truth, table.layers)
    corrected = taus(
        dict(
            weights=least_squares(alone, table.truth),
            heads=least_squares([score, heads], table.truth),
            weights_heads=least_squares([*alone, heads], table.truth),
        ),
        table.truth,
        masks,
    )
    return dict(
        blocks=blocks,
        within_layers=strata,
        by_strided_identities=by_heads,
        corrected_by_the_table=corrected,
        gains=[gains(ratings, table, parts, b) for b in range(len(DEPTHS))],
        head_to_later=effects_of(table, score),
        tau_with=dict(
            layers=round(correlation(score, table.layers)['kendall'], 4),
            macs=round(correlation(score, table.macs)['kendall'], 4),
        ),
    )


def block_class(choices: Sequence[int], block: int, space: MBConvSpace) -> str:
    """Digits of the canonical form of one block's choices."""
    flat = [0] * sum(DEPTHS)
    start = sum(DEPTHS[:block])
    flat[start : start + DEPTHS[block]] = choices
    text = space.format(space.canonical(space.parse(''.join(map(str, flat)))))
    return digits(text)[start : start + DEPTHS[block]]


def digits(text: str) -> str:
    """Only the choices of a written network."""
    found = ''.join(c for c in text if c.isdigit())
    assert len(found) == sum(DEPTHS), text
    return found


def block_parts(table: Table) -> list[list[str]]:
    """Of each block, what each network has there."""
    ends = np.cumsum(DEPTHS)
    names = [digits(name) for name in table.names]
    return [[name[end - d : end] for name in names] for d, end in zip(DEPTHS, ends)]


def tau_within(score: np.ndarray, table: Table, parts: list[list[str]], block: int) -> float:
    """Mean tau of networks that differ in one block only, over all settings of the others."""
    groups = defaultdict(list)
    for i, names in enumerate(zip(*parts)):
        groups[names[:block] + names[block + 1 :]].append(i)
    found = [
        correlation(score[g], table.truth[g])['kendall'] for g in map(np.array, groups.values())
    ]
    return float(np.nanmean(found))


def strided_identities(parts: list[list[str]]) -> np.ndarray:
    """(n,): in how many blocks the first layer is an identity, a conv1x1 of stride 2."""
    return np.array([[kind[0] == '0' for kind in part] for part in parts]).sum(0).astype(float)


def least_squares(columns: Sequence[np.ndarray], truth: np.ndarray) -> np.ndarray:
    """(n,): the truth as far as a weighted sum of the columns and a constant gives it."""
    x = np.stack([*columns, np.ones_like(truth)], axis=1)
    weights, *_ = np.linalg.lstsq(x, truth, rcond=None)
    return x @ weights


def swaps(table: Table, parts: list[list[str]], block: int) -> list[tuple]:
    """Pairs of networks that differ in one layer of a block: an identity, or an MBConv.

    Returns:
        list[tuple]: ``(layer, kinds, kinds of the other, points)``: which layer of the block, the
        two networks by their blocks, and by how much the one with the MBConv is better.
    """
    truth = dict(zip(zip(*parts), table.truth))
    others = defaultdict(list)
    for kind in set(parts[block]):
        for layer, digit in enumerate(kind):
            for choice in range(1, len(table.space.choices)) if digit == '0' else ():
                other = [int(d) for d in kind]
                other[layer] = choice
                others[kind].append((layer, block_class(other, block, table.space)))
    found = []
    for kinds, accuracy in truth.items():
        for layer, other in others[kinds[block]]:
            better = (*kinds[:block], other, *kinds[block + 1 :])
            found.append((layer, kinds, better, truth[better] - accuracy))
    return found


def gains(ratings: list, table: Table, parts: list[list[str]], block: int) -> dict:
    """What an MBConv in the place of an identity adds to accuracy, and takes off the rating.

    Returns:
        dict[str, list[float]]: Under ``head`` and ``later``, which layer of the block, points of
        accuracy and rating, both the mean of :func:`swaps`.
    """
    rated = defaultdict(list)
    size = len(table.space.choices)
    for choices, rating in zip(product(range(size), repeat=DEPTHS[block]), ratings[block]):
        rated[block_class(choices, block, table.space)].append(rating)
    rated = {kind: statistics.fmean(values) for kind, values in rated.items()}
    found = dict(head=[], later=[])
    for layer, kinds, better, points in swaps(table, parts, block):
        pair = (points, rated[kinds[block]] - rated[better[block]])
        found['later' if layer else 'head'].append(pair)
    return {k: [round(float(x), 4) for x in np.mean(v, axis=0)] for k, v in found.items()}


def effects_of(table: Table, scores: np.ndarray) -> list[float]:
    """:func:`head_to_later` of the effects fitted to scores of all networks."""
    return head_to_later(weights_of(MainEffects([row.arch for row in table.rows], scores)))


def gains_by_surroundings(table: Table) -> list[dict]:
    """Points of an MBConv in the place of an identity, by what else the network has.

    Returns:
        list[dict]: Of each block under ``before`` and ``behind``, by the number of layers there
        that are no identity, ``[at the head of the block, later in it]``.
    """
    parts, rows = block_parts(table), []
    layers = lambda kinds: sum(d != '0' for kind in kinds for d in kind)  # noqa: E731
    for block in range(len(DEPTHS)):
        groups = dict(before=defaultdict(list), behind=defaultdict(list))
        for layer, kinds, _, points in swaps(table, parts, block):
            for side, there in (('before', kinds[:block]), ('behind', kinds[block + 1 :])):
                groups[side][layers(there)].append((layer > 0, points))
        rows.append({
            side: {
                str(n): [
                    round(statistics.fmean(x for is_later, x in pairs if is_later == late), 2)
                    for late in (False, True)
                ]
                for n, pairs in sorted(found.items())
            }
            for side, found in groups.items()
        })  # fmt: skip
    return rows


def head_to_later(weights: dict[str, float]) -> list[float]:
    """By block: what an MBConv adds at its head, over what it adds in a later layer.

    Args:
        weights (dict[str, float]): Effects of single choices, as :func:`regret.weights_of`.
    """
    found = []
    for stage, depth in enumerate(DEPTHS, start=1):
        effects = [[weights[f'{stage}.{layer}.{c}'] for c in range(3)] for layer in range(depth)]
        adds = [(x[1] + x[2]) / 2 - x[0] for x in effects]
        found.append(round(adds[0] / statistics.fmean(adds[1:]), 3))
    return found


def ceilings(table: Table) -> dict:
    """Tau of sums of three block tables, and of single choices, fitted to the accuracies."""
    masks = masks_of(table.truth, table.layers)
    archs = [row.arch for row in table.rows]
    found = {}
    for subset, mask in masks.items():
        fits = dict(
            fitted_blocks=fitted_blocks(table, np.ones_like(mask))[mask],
            fitted_blocks_here=fitted_blocks(table, mask)[mask],
            fitted_effects=MainEffects(archs, table.truth).predict(archs)[mask],
        )
        found[subset] = dict(
            num=int(mask.sum()),
            **{k: round(correlation(v, table.truth[mask])['kendall'], 4) for k, v in fits.items()},
        )
    return found


def fitted_blocks(table: Table, mask: np.ndarray) -> np.ndarray:
    """Least squares of the accuracies of a subset on what networks have in each block."""
    columns = [
        np.array(part)[:, None] == np.array(sorted(set(part)))[None]
        for part in block_parts(table)
    ]  # fmt: skip
    x = np.concatenate(columns, axis=1).astype(float)
    weights, *_ = np.linalg.lstsq(x[mask], table.truth[mask], rcond=None)
    return x @ weights


# ---- page ----------------------------------------------------------------------------------------


def write_report(args) -> None:
    """Complete the records, and replace the marked part of the page beside them."""
    from dna import read_records as dna_records

    content = dna_records(args.records)
    runs = content['runs']
    if not runs:
        print(f'no records in {args.records}')
        return
    table = Table(args)
    for run in runs:
        derive(run, table)
    content['ceilings'] = ceilings(table)
    content['truth'] = dict(
        gains=gains_by_surroundings(table), head_to_later=effects_of(table, table.truth)
    )
    write_json(args.records, content)
    others = [
        run
        for run in json.loads(args.records.with_name('ranking.json').read_text())['runs']
        if run['setting'] == 'cpu'
    ]
    cream = json.loads(args.records.with_name('regret.json').read_text())['runs']
    page, figure = args.records.with_suffix('.md'), args.records.with_suffix('.png')
    plot(runs, table, figure)
    tables = '\n\n'.join(tables_of(content, others, cream))
    write_between(page, (BEGIN, END), f'{tables}\n\n![DNA]({figure.name})', '# DNA\n')
    print(tables)


def tables_of(content: dict, others: list[dict], cream: list[dict]) -> list[str]:
    """All tables of the page, from the records alone."""
    runs = content['runs']
    parts = [_taus(runs, content['ceilings']), _differences(runs)]
    parts += [_beside(runs, others), _regrets(runs, cream), *_regret_differences(runs, cream)]
    parts += [
        _blocks(runs),
        _heads(runs, content['truth'], cream),
        _ways(runs),
        _strata(runs),
        _costs(runs),
    ]
    parts.append(_pilot(content['pilot']))
    return [part for part in parts if part]


def _row(*cells) -> str:
    return '| ' + ' | '.join(str(cell) for cell in cells) + ' |'


def _head(*cells) -> list[str]:
    return [_row(*cells), '|' + '---|' * len(cells)]


def _mean(values: list, digits: int = 3, each: bool = False) -> str:
    """Mean and interval over seeds, and each seed's if asked for."""
    if any(v is None for v in values):
        return '-'
    mean = statistics.fmean(values)
    if len(set(values)) == 1:
        return f'{mean:.{digits}f}'
    text = interval(values, digits).replace('+', '')
    return f'{text} ({" ".join(f"{v:.{digits}f}" for v in values)})' if each else text


def _less(values: list, digits: int = 3) -> str:
    """A difference, marked where its interval leaves out zero."""
    if any(v is None for v in values):
        return '-'
    text = interval(values, digits)
    if '[' not in text:
        return text
    low, high = (float(x) for x in text.split('[')[1].rstrip(']').split(','))
    return f'**{text}**' if low > 0 or high < 0 else text


def _taus(runs: list[dict], ceiling: dict) -> str:
    lines = _head('all networks, ranked by', *SUBSETS.values())
    found = [run['tau']['all'] for run in runs]
    lines.append(_row('n', *(found[0][s]['num'] for s in SUBSETS)))
    for name, label in dict(dna='DNA, sum of three ratings', **BASELINES).items():
        lines.append(_row(label, *(_mean([f[s][name] for f in found], each=True) for s in SUBSETS)))
    for name, label in (
        ('fitted_blocks', 'ceiling: sums of three block tables fitted to the accuracies'),
        ('fitted_effects', 'ceiling: effects of single choices fitted to the accuracies'),
    ):
        lines.append(_row(label, *(f'{ceiling[s][name]:.3f}' for s in SUBSETS)))
    return '\n'.join(lines)


def _differences(runs: list[dict]) -> str:
    lines = _head('DNA less', *SUBSETS.values())
    for name, label in BASELINES.items():
        cells = []
        for s in SUBSETS:
            pairs = [(run['tau']['all'][s]['dna'], run['tau']['all'][s][name]) for run in runs]
            cells.append('-' if None in pairs[0] else _less([a - b for a, b in pairs]))
        lines.append(_row(label, *cells))
    return '\n'.join(lines)


def _beside(runs: list[dict], others: list[dict]) -> str:
    found = [run['tau']['rated'] for run in runs]
    n = found[0]['all']['num']
    lines = _head(f'the {n} networks of ranking.md', 'ranked by', *SUBSETS.values())
    lines.append(_row('DNA', 'sum', *(_mean([f[s]['dna'] for f in found]) for s in SUBSETS)))
    for name, label in BASELINES.items():
        lines.append(_row(label, '', *(_mean([f[s][name] for f in found]) for s in SUBSETS)))
    for method in ('spos', 'fairnas', 'cream'):
        theirs = {run['seed']: run for run in others if run['method'] == method}
        pairs = [(run, theirs[run['seed']]) for run in runs if run['seed'] in theirs]
        for score in ('score', 'main_effects', 'loss', 'top1') if pairs else ():
            cells = [
                _less([a['tau']['rated'][s]['dna'] - tau(b, score, s) for a, b in pairs])
                for s in SUBSETS
            ]
            lines.append(_row(f'DNA less {method}', SCORES[score], *cells))
    return '\n'.join(lines)


CREAM_RULES = dict(effects_veto='Cream, its answer', board='Cream, board by cross entropy')


def _regrets(runs: list[dict], cream: list[dict]) -> str:
    shares = list(runs[0]['regret'])
    lines = _head('regret in points, mean over seeds (each)', *shares, 'mean')
    labels = dict(dna='DNA', naswot='NASWOT, untrained', macs='most MACs', params='most params',
                  layers='most layers that are no identity, mean',
                  random='random, mean')  # fmt: skip
    rows = [(label, [[r['regret'][s][k] for r in runs] for s in shares])
            for k, label in labels.items()]  # fmt: skip
    seeds = [run['seed'] for run in runs]
    for rule, label in CREAM_RULES.items():
        rows.append((label, [
            [r['regret'][rule] for r in cream if str(r['share']) == s and r['seed'] in seeds]
            for s in shares
        ]))  # fmt: skip
    for label, columns in rows:
        cells = [
            f'{statistics.fmean(c):.2f}'
            + (f' ({" ".join(f"{v:.2f}" for v in c)})' if len(set(c)) > 1 else '')
            for c in columns
        ]
        mean = statistics.fmean(statistics.fmean(c) for c in columns)
        lines.append(_row(label, *cells, f'{mean:.2f}'))
    first = runs[0]['regret']
    lines.append(_row('networks within the budget', *(first[s]['networks'] for s in shares), ''))
    lines.append(_row('best true accuracy, %', *(f'{first[s]["best"]:.2f}' for s in shares), ''))
    return '\n'.join(lines)


def _regret_differences(runs: list[dict], cream: list[dict]) -> list[str]:
    """Over the shares the mean, of each seed; then the interval over seeds."""
    lines = []
    mean = lambda run, name: statistics.fmean(r[name] for r in run['regret'].values())  # noqa: E731
    for name in ('naswot', 'macs', 'layers', 'random'):
        values = [mean(run, 'dna') - mean(run, name) for run in runs]
        lines.append(f'* DNA, less {name}, mean of the shares: {_less(values, 2)} points')
    for rule, label in CREAM_RULES.items():
        values = []
        for run in runs:
            theirs = [r['regret'][rule] for r in cream if r['seed'] == run['seed']]
            if theirs:
                values.append(mean(run, 'dna') - statistics.fmean(theirs))
        if values:
            lines.append(f'* DNA, less {label}, mean of the shares: {_less(values, 2)} points')
    return ['\n'.join(lines)]


def _blocks(runs: list[dict]) -> str:
    lines = _head(
        'block', 'candidates', 'tau of rating and mean accuracy', 'of MACs', 'of layers',
        'of rating, no identity', 'one block differs: tau of the sum', 'rating with layers',
        'rating with MACs', 'sd of rating', 'sd of accuracy, points',
    )  # fmt: skip
    for b in range(len(DEPTHS)):
        each = [run['diagnosis']['blocks'][b] for run in runs]
        lines.append(_row(
            b + 1, each[0]['candidates'], _mean([e['tau']['rating'] for e in each]),
            _mean([e['tau']['macs'] for e in each]), _mean([e['tau']['layers'] for e in each]),
            _mean([e['tau_no_identity'] for e in each]), _mean([e['tau_one_block'] for e in each]),
            _mean([e['tau_with_layers'] for e in each]), _mean([e['tau_with_macs'] for e in each]),
            _mean([e['sd_rating'] for e in each], 4), _mean([e['sd_accuracy'] for e in each], 2),
        ))  # fmt: skip
    lines += ['', *_head('layers that are no identity in a block', *'0123')]
    for b in range(len(DEPTHS)):
        each = [run['diagnosis']['blocks'][b]['by_layers'] for run in runs]
        cells = []
        for d in '0123':
            if d not in each[0]:
                cells.append('-')
                continue
            rating = statistics.fmean(e[d][0] for e in each)
            cells.append(f'{rating:.3f}, {each[0][d][1]:.2f} %')
        lines.append(_row(f'block {b + 1}: mean rating, mean accuracy', *cells))
    return '\n'.join(lines)


def _heads(runs: list[dict], truth: dict, cream: list[dict]) -> str:
    """What a rating does not see: an identity at the head of a block, a conv1x1 of stride 2."""
    each = [run['diagnosis']['gains'] for run in runs]
    lines = _head('MBConv for identity', 'first layer: points', 'rating', 'points per 0.01',
                  'later layer: points', 'rating', 'points per 0.01')  # fmt: skip
    for b in range(len(DEPTHS)):
        cells = []
        for place in ('head', 'later'):
            points = each[0][b][place][0]
            ratings = [e[b][place][1] for e in each]
            each_ratio = [points / r / 100 for r in ratings]
            cells += [f'{points:.2f}', _mean(ratings, 4), _mean(each_ratio)]
        lines.append(_row(f'block {b + 1}', *cells))
    lines += ['', *_head('gain of the first layer, over that of a later one', 'block 1', 'block 2',
                         'block 3')]  # fmt: skip
    of_runs = dict(DNA=[run['diagnosis']['head_to_later'] for run in runs])
    of_runs['Cream, training effects'] = [
        head_to_later(r['effects']) for r in cream if r['share'] == 1 and 'effects' in r
    ]
    lines.append(_row('accuracies', *(f'{x:.2f}' for x in truth['head_to_later'])))
    for name, ratios in of_runs.items():
        lines.append(_row(name, *(_mean(list(x), 2) for x in zip(*ratios))))
    for b, side, where in ((0, 'behind', 'behind it'), (1, 'behind', 'behind it'),
                           (2, 'before', 'before it')):  # fmt: skip
        found = truth['gains'][b][side]
        lines += ['', *_head(f'accuracies, block {b + 1}: layers {where} that are no identity',
                             *found)]  # fmt: skip
        for i, place in enumerate(('the first', 'a later')):
            lines.append(_row(f'points of an MBConv in {place} layer',
                              *(f'{x[i]:.2f}' for x in found.values())))  # fmt: skip
        lines.append(_row('first over later', *(f'{x[0] / x[1]:.2f}' for x in found.values())))
    groups = [run['diagnosis']['by_strided_identities'] for run in runs]
    lines += ['', *_head('networks with as many blocks that begin with an identity', *groups[0])]
    lines.append(_row('n', *(g['num'] for g in groups[0].values())))
    for name, label in (('dna', 'DNA'), ('layers', 'layers that are no identity')):
        cells = (_mean([g[k][name] for g in groups]) for k in groups[0])
        lines.append(_row(f'tau of {label}', *cells))
    lines += ['', *_head('fitted to the accuracies: no method, a diagnosis', *SUBSETS.values())]
    for name, label in (
        ('weights', 'weights of the three ratings'),
        ('heads', 'the sum, and the number of blocks that begin with an identity'),
        ('weights_heads', 'weights of the three ratings, and that number'),
    ):
        found = [run['diagnosis']['corrected_by_the_table'] for run in runs]
        lines.append(_row(label, *(_mean([f[s][name] for f in found]) for s in SUBSETS)))
    return '\n'.join(lines)


def _ways(runs: list[dict]) -> str:
    lines = _head('all networks, ranked by', *SUBSETS.values(), 'less the sum, all')
    names = [k for k in runs[0]['tau_of_ways']['all'] if k != 'num']
    for name in names:
        found = [run for run in runs if name in run['tau_of_ways']['all']]
        cells = [_mean([run['tau_of_ways'][s][name] for run in found]) for s in SUBSETS]
        less = [run['tau_of_ways']['all'][name] - run['tau']['all']['all']['dna'] for run in found]
        lines.append(_row(LABELS.get(name, name), *cells, _less(less)))
    return '\n'.join(lines)


def _strata(runs: list[dict]) -> str:
    each = [run['diagnosis']['within_layers'] for run in runs]
    lines = _head('networks with as many layers that are no identity', *each[0])
    lines.append(_row('n', *(x['num'] for x in each[0].values())))
    for name, label in (('dna', 'DNA'), ('macs', 'MACs')):
        lines.append(_row(f'tau of {label}', *(_mean([e[d][name] for e in each]) for d in each[0])))
    with_ = [run['diagnosis']['tau_with'] for run in runs]
    lines += ['', f'DNA with the number of layers: tau {_mean([w["layers"] for w in with_])}; '
                  f'with MACs: {_mean([w["macs"] for w in with_])}.']  # fmt: skip
    return '\n'.join(lines)


def _costs(runs: list[dict]) -> str:
    names = list(runs[0]['train_loss'])
    lines = _head(
        'seed', 'images', 'teacher, top-1 on test, %', 'teacher, CPU minutes',
        'search, CPU minutes', *(f'{name}, first and last epoch' for name in names),
    )  # fmt: skip
    for run in runs:
        losses = [run['train_loss'][name] for name in names]
        lines.append(_row(
            run['seed'], f'{run["images_seen"]:,}', f'{run["teacher_top1"]:.2f}',
            *(f'{run["cpu_s"][k] / 60:.1f}' for k in ('teacher', 'search')),
            *(f'{x[0]:.4f}, {x[-1]:.4f}' for x in losses),
        ))  # fmt: skip
    return '\n'.join(lines)


def _pilot(pilot: dict | None) -> str:
    if not pilot:
        return ''
    lines = _head(
        f'pilot, seed {pilot["seed"]}, {pilot["steps"]} steps: lr and schedule',
        'relative L1 of blocks on the hold-out', 'mean', 'loss of blocks',
    )  # fmt: skip
    for name, found in pilot['settings'].items():
        lines.append(_row(
            name, ', '.join(f'{x:.4f}' for x in found['relative_l1']),
            f'{found["mean_relative_l1"]:.4f}', ', '.join(f'{x:.5f}' for x in found['loss']),
        ))  # fmt: skip
    return '\n'.join(lines)


def plot(runs: list[dict], table: Table, path: Path) -> None:
    """Score of the first seed against accuracy, and the ratings of each block."""
    from matplotlib.figure import Figure  # no pyplot: no display, no global state

    figure = Figure(figsize=(13, 4.2), layout='constrained')
    axes = figure.subplots(1, 2)
    points = axes[0].scatter(-table.score(runs[0]['ratings']), table.truth, s=3,
                             c=table.layers, cmap='viridis')  # fmt: skip
    figure.colorbar(points, ax=axes[0], label='layers that are no identity')
    axes[0].set(xlabel='sum of ratings (lower is better)', ylabel='trained alone, %', ylim=(78, 94),
                title=f'seed {runs[0]["seed"]}')  # fmt: skip
    for b, part in enumerate(block_parts(table)):
        accuracy, kinds = {}, np.array(part)
        for kind in sorted(set(part)):
            accuracy[kind] = table.truth[kinds == kind].mean()
        for run in runs:
            candidates = product(range(len(table.space.choices)), repeat=DEPTHS[b])
            xy = [(r, accuracy[block_class(c, b, table.space)])
                  for c, r in zip(candidates, run['ratings'][b])]  # fmt: skip
            label = f'block {b + 1}' if run is runs[0] else None
            axes[1].plot(*zip(*xy), '.', color=f'C{b}', alpha=0.6, label=label)
    axes[1].set(xlabel='rating of a candidate, relative L1',
                ylabel='mean accuracy of its networks, %')  # fmt: skip
    axes[1].legend()
    for ax in axes:
        ax.grid(alpha=0.25)
    figure.savefig(path, dpi=110)
