"""From the records of close.py to the tables and figures of docs/results/close.md."""

import csv
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from report import write_between  # beside this file
from scipy import stats

from cream_mm.spaces import NASBench201Space

BEGIN, END = (
    '<!-- begin of benchmarks/ranking/close.py -->',
    '<!-- end of benchmarks/ranking/close.py -->',
)
COLUMN = 'cifar10-test'
GATE = 0.35  # tau of the vanilla supernet, without which nothing is compared
METHODS = dict(vanilla='vanilla', close='CLOSE to K = 3')
COLORS = dict(vanilla='#666666', close='#d55e00')
# Of a run: by the ratings of its last weights, and by the losses of its training.
SCORES = dict(
    loss='cross entropy', top1='top-1', edges='training effects', pairs='pairs of edges, training'
)
BASELINES = dict(
    params='params (MACs order cells alike)',
    convs='number of live convolutions',
    naswot='NASWOT, untrained',
)
CEILINGS = {
    '12 epochs': 'each cell trained alone for 12 epochs',
    'fitted_edges': 'effects of edges, fitted to all accuracies',
    'fitted_pairs': 'and of pairs of edges, fitted to all accuracies',
}
OPERATIONS = {2: 'conv1x1', 3: 'conv3x3'}


@cache
def truth(table: Path, column: str = COLUMN, cells: str = 'arch') -> dict[str, float]:
    """Mean accuracy of each class of isomorphic cells, by its canonical cell."""
    space, found = NASBench201Space(), {}
    with open(table, newline='') as file:
        for row in csv.DictReader(file):
            arch = space.canonical(space.parse(row[cells]))
            found.setdefault(space.format(arch), []).append(float(row[column]))
    return {name: float(np.mean(values)) for name, values in found.items()}


@cache
def rated() -> list[str]:
    from close import rated_cells  # beside this file

    return rated_cells()


def scores_of(run: dict, key: str, point: int = -1) -> np.ndarray:
    """(500,) of a run, higher is better."""
    if key in ('edges', 'pairs'):
        return np.array(run['effects'][key]['scores'])
    return (-1.0 if key == 'loss' else 1.0) * np.array(run['curve'][point][key])


def measures(scores: Sequence[float], true: dict[str, float]) -> dict[str, float]:
    """Kendall's tau-b, Spearman's rho, and the share of the best 5 % that the scores find."""
    y = np.array([true[cell] for cell in rated()])
    scores = np.asarray(scores, dtype=float)
    k = len(y) // 20
    best = set(np.argsort(-y, kind='stable')[:k].tolist())
    return dict(
        tau=float(stats.kendalltau(scores, y).statistic),
        spearman=float(stats.spearmanr(scores, y).statistic),
        p5=len(best & set(np.argsort(-scores, kind='stable')[:k].tolist())) / k,
    )


def tau(run: dict, point: dict, key: str, true: dict[str, float]) -> float:
    """Of a rating on the way of a run."""
    return measures((-1.0 if key == 'loss' else 1.0) * np.array(point[key]), true)['tau']


# ---- the page ------------------------------------------------------------------------------------


def write_report(args) -> None:
    """Replace the marked part of docs/results/close.md, and draw the figure."""
    from close import read_records  # beside this file

    content, true = read_records(args.records), truth(args.table)
    page = args.records.with_suffix('.md')
    tables = [
        *mechanics_tables(content),
        pilot_line(content, true),
        *ranking_tables(content, true),
        by_convs(content, true),
        every_run(content, true),
    ]
    body = '\n\n'.join(table for table in tables if table)
    figure = args.records.with_suffix('.png')
    plot(content, true, figure)
    write_between(page, (BEGIN, END), f'{body}\n\n![CLOSE]({figure.name})', '# CLOSE\n')
    print(body)
    print(f'written: {page}, {figure}')


def table_of(header: Sequence[str], rows: Sequence[Sequence]) -> str:
    lines = [header, ['---'] * len(header), *rows]
    return '\n'.join(f'| {" | ".join(map(str, line))} |' for line in lines)


def interval(values: Sequence[float], digits: int = 3, sign: bool = False) -> str:
    """Mean and 95 % interval of Student's t; bold where a difference's excludes zero."""
    values = np.asarray(values, dtype=float)
    mark = '+' if sign else ''
    if len(values) < 2:
        return f'{values.mean():{mark}.{digits}f}'
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    mean = values.mean()
    text = (
        f'{mean:{mark}.{digits}f} [{mean - half:{mark}.{digits}f}, {mean + half:{mark}.{digits}f}]'
    )
    return f'**{text}**' if sign and abs(mean) > half else text


def runs_of(content: dict, method: str, setting: str = 'reduced') -> list[dict]:
    """Those that are compared, by seed; no pilot."""
    from close import PILOT_SEED

    runs = [
        r for r in content['runs']
        if r['method'] == method and r['setting'] == setting and r['seed'] != PILOT_SEED
    ]  # fmt: skip
    return sorted(runs, key=lambda run: run['seed'])


def mechanics_tables(content: dict) -> list[str]:
    tables = []
    if content['steps']:
        names = ['vanilla', '1', '2', '3', '4', '5']
        rows = []
        for one in content['steps']:
            for key, label in (('ms', 'ms'), ('cpu_ms', 'CPU ms')):
                cells = [f'{one["by_banks"][name][key]:.1f}' for name in names]
                rows.append([f'{one["device"]}, {label}', one['batch_size'], *cells])
        header = ['a step on', 'images', 'vanilla', *(f'K = {k}' for k in names[1:])]
        tables.append(table_of(header, rows))
    if content.get('gate'):
        columns_ = ('states', 'scores', 'between_banks')
        cells = [
            f'{np.mean(values):.2g} ({min(values):.2g} to {max(values):.2g})'
            for values in ([one[c] for one in content['gate']] for c in columns_)
        ]
        header = [
            'a gate before training, of seeds', 'sd of states of nodes over cells',
            'sd of scores over cells and edges', "difference of two banks' scores",
        ]  # fmt: skip
        tables.append(table_of(header, [[len(content['gate']), *cells]]))
    tables.append(routes_table(content))
    runs = [r for r in content['runs'] if r['method'] == 'mechanics']
    for run in runs:
        tables += [spread_table(run), *switch_tables(run)]
    measured = [r for r in content['runs'] if r['method'] in ('inheritance', 'mechanics')]
    for run in [r for r in measured if 'routings' in r['switches'][0]][:1]:
        tables += [inheritance_table(run), scores_table(run)]
    return tables


def inheritance_table(run: dict) -> str:
    """Loss of 50 cells at a switch by the bank that edges have; differences are over cells."""
    ways = {
        'none, drawn': 'no new bank, banks drawn',
        'inherits, drawn': 'inherits, drawn',
        'begins, drawn': 'begins from nothing, drawn',
        'inherits, the new bank everywhere': 'inherits, the new bank at every edge',
        'begins, the new bank everywhere': 'begins from nothing, the new bank at every edge',
    }
    rows = []
    for s in run['switches']:
        losses = {name: np.array(values) for name, values in s['routings'].items()}
        base = losses['none, highest score']
        cells = [interval(losses[way] - base, 3, True) for way in ways]
        rows.append([f'{s["active"]} to {s["active"] + 1}', f'{base.mean():.3f}', *cells])
    return table_of(['K', 'before, by highest score', *ways.values()], rows)


def scores_table(run: dict) -> str:
    """What the gate has learnt by the end of each K."""
    rows = [
        [
            f'end of K = {s["active"]}',
            ', '.join(f'{value:.3f}' for value in s['scores']['mean']),
            ', '.join(f'{value:.1g}' for value in s['scores']['sd']),
        ]
        for s in run['switches']
    ]
    header = ['gate', 'mean score of each bank', 'its sd over edges of 50 cells']
    return table_of(header, rows)


def routes_table(content: dict) -> str:
    """Where the gates of the compared runs put live convolutions."""
    rows = []
    for run in runs_of(content, 'close'):
        for state in run['routes']:
            counts = np.array(state['counts']).sum(axis=(0, 1))
            shares = ', '.join(f'{100 * c / counts.sum():.0f}' for c in counts)
            at = f'{state["epoch"]} of {run["epochs"]}'
            rows.append([f'close {run["seed"]}', at, state['active'], counts.sum(), shares])
    header = ['run', 'epoch', 'K', 'live convolutions of all cells', 'in each bank, %']
    return table_of(header, rows) if rows else ''


def spread_table(run: dict) -> str:
    """Where the gate puts the live convolutions of all cells, at the end of each K."""
    rows = []
    states = [('end of', s['routes_before']) for s in run['switches']]
    states += [('end of', run['routes'][-1])]
    after = [('start of', s['routes_inherits']) for s in run['switches']]
    both = [x for pair in zip(states, [*after, None]) for x in pair if x is not None]
    for when, state in both:
        counts = np.array(state['counts'], dtype=float)  # (6, 5, K)
        shares = counts.sum(axis=(0, 1)) / counts.sum()
        used = np.array(state['distinct'], dtype=float)
        mean = (used * np.arange(len(used))).sum() / max(used.sum(), 1)
        rows.append(
            [
                f'{when} K = {state["active"]}',
                ', '.join(f'{100 * share:.0f}' for share in shares),
                f'{mean:.2f}',
                f'{100 * told_by(counts, 1):.0f}',
                f'{100 * told_by(counts, 0):.0f}',
                f'{100 * told_by(counts, None):.0f}',
            ]
        )
    header = [
        'gate', 'live convolutions in each bank, %', 'banks of a cell, mean',
        'bank told by operation, %', 'by edge, %', 'by both, %',
    ]  # fmt: skip
    return table_of(header, rows)


def told_by(counts: np.ndarray, axis: int | None) -> float:
    """Mutual information of bank and operation (1), edge (0) or both, over the bank's entropy."""
    joint = counts.reshape(-1, counts.shape[2]) if axis is None else counts.sum(axis=1 - axis)
    joint = joint / joint.sum()
    bank, other = joint.sum(axis=0), joint.sum(axis=1, keepdims=True)
    entropy = -(bank[bank > 0] * np.log(bank[bank > 0])).sum()
    if entropy < 1e-12:
        return 0.0
    known = joint > 0
    return float((joint[known] * np.log((joint / (bank * other + 1e-300))[known])).sum() / entropy)


def switch_tables(run: dict) -> list[str]:
    """Loss of 50 cells around each switch; differences are over cells."""
    steps = [0, 25, 100]
    rows, kept = [], []
    for s in run['switches']:
        ways = {name: np.array(v) for name, v in s['ways'].items()}  # (3, 50)
        before = ways['none, goes on']
        for way in ('none, goes on', 'inherits, goes on', 'begins, goes on', 'none, restart',
                    'inherits, restart', 'begins, restart'):  # fmt: skip
            base = before if way != 'none, goes on' else before[:1]
            cells = [
                f'{v.mean():.3f}' if way == 'none, goes on' else interval(v - b, 3, True)
                for v, b in zip(ways[way], base if len(base) == 3 else [base[0]] * 3)
            ]
            rows.append([f'{s["active"]} to {s["active"] + 1}', f'{s["lr"]:.4f}', way, *cells])
        kept.append(s)
    header = ['K', 'lr', 'bank, optimizer', *(f'after {n} steps' for n in steps)]
    return [table_of(header, rows)]


def pilot_line(content: dict, true: dict[str, float]) -> str:
    from close import PILOT_SEED

    lines = []
    for run in content['runs']:
        if run['seed'] != PILOT_SEED:
            continue
        found = {key: measures(scores_of(run, key), true)['tau'] for key in SCORES}
        lines.append(
            f'Pilot, vanilla, seed {PILOT_SEED}, {run["epochs"]} epochs in {run["train_s"]:.0f} s, '
            'tau by '
            + ', '.join(f'{SCORES[key]} {value:.3f}' for key, value in found.items())
            + f'; the gate is {GATE}.'
        )
    return '\n'.join(lines)


def ranking_tables(content: dict, true: dict[str, float]) -> list[str]:
    groups = {name: runs_of(content, name) for name in METHODS}
    groups = {name: runs for name, runs in groups.items() if runs}
    rows = []
    for name, runs in groups.items():
        for key, label in SCORES.items():
            found = [measures(scores_of(run, key), true) for run in runs]
            rows.append(
                [METHODS[name], len(runs), label]
                + [interval([f[m] for f in found]) for m in ('tau', 'spearman', 'p5')]
            )
    known = columns(content)
    for key, label in {**BASELINES, **CEILINGS}.items():
        found = [measures(column, true) for column in known.get(key, [])]
        if found:
            rows.append(
                ['-', len(found) if len(found) > 1 else '-', label]
                + [interval([f[m] for f in found]) for m in ('tau', 'spearman', 'p5')]
            )
    tables = [
        table_of(['trained by', 'seeds', 'ranked by', 'tau', 'Spearman', 'best 5 % found'], rows)
    ]
    if len(groups) < 2:
        return tables
    rows, pairs = [], list(zip(groups['close'], groups['vanilla']))
    pairs = [(a, b) for a, b in pairs if a['seed'] == b['seed']]
    for key, label in SCORES.items():
        found = [
            [measures(scores_of(run, key), true) for run in pair] for pair in pairs
        ]  # fmt: skip
        rows.append(
            [f'CLOSE less vanilla, {label}']
            + [
                interval([a[m] - b[m] for a, b in found], sign=True)
                for m in ('tau', 'spearman', 'p5')
            ]
        )
    for name, runs in groups.items():
        found = [[measures(scores_of(run, key), true) for key in ('edges', 'loss')] for run in runs]
        rows.append(
            [f'{METHODS[name]}, training effects less cross entropy']
            + [
                interval([a[m] - b[m] for a, b in found], sign=True)
                for m in ('tau', 'spearman', 'p5')
            ]
        )
    for name, runs in groups.items():
        runs = [run for run in runs if len(run['curve']) > 1]
        found = [
            [measures(scores_of(run, 'loss', i), true) for i in (-1, len(run['curve']) // 2 - 1)]
            for run in runs
        ]
        if found:
            rows.append(
                [f'{METHODS[name]}, cross entropy, end less half way']
                + [
                    interval([a[m] - b[m] for a, b in found], sign=True)
                    for m in ('tau', 'spearman', 'p5')
                ]
            )
    for name, runs in groups.items():
        for key in ('params', 'convs', 'naswot'):
            if key not in known:
                continue
            base = {
                m: np.mean([measures(c, true)[m] for c in known[key]])
                for m in ('tau', 'spearman', 'p5')
            }
            found = [measures(scores_of(run, 'loss'), true) for run in runs]
            rows.append(
                [f'{METHODS[name]}, cross entropy, less {BASELINES[key]}']
                + [interval([f[m] - base[m] for f in found], sign=True) for m in base]
            )
    tables.append(table_of(['difference', 'tau', 'Spearman', 'best 5 % found'], rows))
    return tables


def columns(content: dict) -> dict[str, list[list[float]]]:
    """Scores that need no supernet, of each draw."""
    found: dict[str, list] = {}
    for name, column in ((content['baselines'] or {}).get('scores') or {}).items():
        found.setdefault('naswot' if name.startswith('naswot') else name, []).append(column)
    return found


def by_convs(content: dict, true: dict[str, float]) -> str:
    """Tau among cells with equally many live convolutions, mean over seeds."""
    known = columns(content)
    if 'convs' not in known:
        return ''
    y, (convs,) = np.array([true[cell] for cell in rated()]), known['convs']
    ways = {
        f'{METHODS[name]}, {SCORES[key]}': [scores_of(run, key) for run in runs_of(content, name)]
        for name in METHODS
        for key in ('loss', 'edges')
    }
    ways.update({BASELINES[key]: known[key] for key in ('params', 'naswot') if key in known})
    groups = {str(n): np.array(convs) == n for n in range(1, 7)}
    rows = [
        ['n', *(int(mask.sum()) for mask in groups.values())],
        ['mean accuracy, %', *(f'{y[mask].mean():.2f}' for mask in groups.values())],
    ]
    for label, found in ways.items():
        if found:
            cells = [
                interval([stats.kendalltau(np.array(s)[mask], y[mask]).statistic for s in found])
                for mask in groups.values()
            ]
            rows.append([f'tau, {label}', *cells])
    return table_of(['live convolutions', *groups], rows)


def every_run(content: dict, true: dict[str, float]) -> str:
    rows = []
    for run in [r for name in METHODS for r in runs_of(content, name)]:
        ratings = [
            f'{point["train_s"]:.0f} s: {tau(run, point, "loss", true):.3f}, '
            f'{tau(run, point, "top1", true):.3f}'
            for point in run['curve']
        ]
        rows.append(
            [
                f'{run["method"]} {run["seed"]}', run['epochs'],
                f'{run["steps"] * run["batch_size"] / 1e6:.2f}', f'{run["train_s"]:.0f}',
                f'{run["train_cpu_s"]:.0f}', f'{run["epoch_loss"][-1]:.3f}',
                f'{np.mean(run["curve"][-1]["top1"]):.1f}', '; '.join(ratings),
            ]
        )  # fmt: skip
    if not rows:
        return ''
    header = ['run', 'epochs', 'images, millions', 'seconds', 'of CPU', 'last training loss',
              'mean top-1 of cells, %', 'seconds: tau by cross entropy, by top-1']  # fmt: skip
    return table_of(header, rows)


# ---- figures -------------------------------------------------------------------------------------


def plot(content: dict, true: dict[str, float], path: Path) -> None:
    """Tau and loss against time; banks in use by the gate; losses around the switches."""
    from matplotlib.figure import Figure  # no pyplot: no display, no global state

    figure = Figure(figsize=(13, 7.6), layout='constrained')
    axes = figure.subplots(2, 2)
    for name in METHODS:
        for i, run in enumerate(runs_of(content, name)):
            style = dict(color=COLORS[name], label=METHODS[name] if i == 0 else None)
            x = [point['train_s'] for point in run['curve']]
            axes[0, 0].plot(x, [tau(run, p, 'loss', true) for p in run['curve']], '.-', **style)
            seconds = np.cumsum(run['epoch_s'])
            axes[0, 1].plot(seconds, run['epoch_loss'], linewidth=1, **style)
    for (key, columns_), line in zip(columns(content).items(), (':', ':', '-.', ' ', ' ', '--')):
        if key in ('params', 'convs', 'naswot'):
            value = np.mean([measures(c, true)['tau'] for c in columns_])
            line = dict(params=':', convs='-.', naswot='--')[key]
            axes[0, 0].axhline(value, color='k', linestyle=line, linewidth=1, label=BASELINES[key])
    axes[0, 0].set(xlabel='seconds of training', ylabel='Kendall tau-b, cross entropy')
    axes[0, 0].legend(fontsize=8)
    axes[0, 1].set(xlabel='seconds of training', ylabel='training loss, nats')
    if runs_of(content, 'vanilla'):
        axes[0, 1].legend(fontsize=8)
    for run in [r for r in content['runs'] if r['method'] == 'mechanics'][:1]:
        states = [s['routes_before'] for s in run['switches']] + [run['routes'][-1]]
        for x, state in enumerate(states, start=1):
            counts, bottom = np.array(state['counts'], dtype=float), 0.0
            for bank, share in enumerate(counts.sum(axis=(0, 1)) / counts.sum()):
                axes[1, 0].bar(x, 100 * share, bottom=bottom, color=f'C{bank}', width=0.7)
                bottom += 100 * share
        axes[1, 0].set(xlabel='K, at its end', ylabel='live convolutions in each bank, %')
        names = ('none', 'inherits', 'begins')
        for i, s in enumerate(run['switches']):
            for j, name in enumerate(names):
                for restart, line in (('goes on', '-'), ('restart', ':')):
                    y = np.array(s['ways'][f'{name}, {restart}']).mean(axis=1)
                    label = f'{name}, {restart}' if i == 0 else None
                    axes[1, 1].plot(
                        4 * i + np.arange(3), y, line, color=f'C{j}', marker='.', label=label
                    )
        ticks = [4 * i + 1 for i in range(len(run['switches']))]
        labels = [f'{s["active"]} to {s["active"] + 1}' for s in run['switches']]
        axes[1, 1].set(ylabel='mean loss of 50 cells, nats')
        axes[1, 1].set_xticks(ticks, labels)
        axes[1, 1].set_xlabel('K at a switch; points: after 0, 25 and 100 steps')
        axes[1, 1].legend(fontsize=7)
    for ax in axes.flat:
        ax.grid(alpha=0.25)
    figure.savefig(path, dpi=110)


# ---- what needs no supernet ----------------------------------------------------------------------


def baselines(args) -> dict:
    """Scores of the rated cells by their plan alone, untrained, and fitted to the truth.

    Returns:
        dict: ``scores`` by name, of each rated cell; ``seconds`` of what takes time.
    """
    from close import METHODS, ROOT, SETTINGS, rated_archs, space_of, with_pairs
    from mmengine.registry import DATASETS, MODELS, init_default_scope

    from cream_mm.config.load import load_config
    from cream_mm.costs import build_cost_model
    from cream_mm.evaluation.proxies import naswot_images, naswot_scores
    from cream_mm.search import MainEffects

    space, archs = space_of(args.setting), rated_archs(space_of(args.setting))
    published = NASBench201Space()
    costs = build_cost_model(published, input_size=32, num_classes=10, head_channels=0)
    cells = [published.parse(published.format(arch)) for arch in archs]
    units = [costs.cost(cell).in_units() for cell in cells]
    convs = [
        sum(op in (2, 3) for op, live in zip(space.encode(a), space.live_edges(a)) if live)
        for a in archs
    ]
    scores = dict(
        params=[u['params_m'] for u in units], macs=[u['macs_m'] for u in units], convs=convs
    )
    true, names = truth(args.table), rated()
    every = [published.parse(name) for name in true]
    values = [true[published.format(arch)] for arch in every]
    for name, spell in (('fitted_edges', lambda arch: arch), ('fitted_pairs', with_pairs)):
        fit = MainEffects([spell(arch) for arch in every], values)
        scores[name] = fit.predict([spell(cell) for cell in cells]).tolist()
    short = args.table.with_name('nasbench201_12epoch.csv')
    if short.is_file():
        found = truth(short, COLUMN, 'cellstr')
        scores['12 epochs'] = [found[name] for name in names]

    init_default_scope('mmpretrain')
    options = dict(data_root=str(args.data / f'cifar10_{SETTINGS[args.setting]["pixels"]}'))
    cfg = load_config(str(ROOT / f'configs/ranking/{METHODS["vanilla"]}.py'), options)
    model, data = MODELS.build(cfg.model), DATASETS.build(cfg.test_cfg.bn_dataset)
    seconds = {}
    connected = [i for i, arch in enumerate(archs) if any(space.live_edges(arch))]
    for seed in range(3):
        images, start = naswot_images(data, model.data_preprocessor, 32, seed), time.process_time()
        nets = naswot_scores(
            [archs[i] for i in connected], space, images, seed, build=model.backbone.build_network
        )
        seconds[f'naswot {seed}'] = round(time.process_time() - start, 1)
        scored = dict(zip(connected, nets))
        # An output that is zero tells no two images apart.
        lowest = min(nets) - 1.0
        scores[f'naswot {seed}'] = [scored.get(i, lowest) for i in range(len(archs))]
    scores = {name: [round(float(v), 5) for v in column] for name, column in scores.items()}
    return dict(scores=scores, seconds=seconds)
