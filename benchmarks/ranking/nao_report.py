"""From the records of nao.py and nao_regret.py to tables and figure of docs/results/nao_v2.md."""

import statistics
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from close_report import interval, table_of  # this and the next are beside this file
from report import SCORES, tau, write_between

SAMPLER_MARKS = (
    '<!-- begin of benchmarks/ranking/nao.py -->',
    '<!-- end of benchmarks/ranking/nao.py -->',
)
REGRET_MARKS = (
    '<!-- begin of benchmarks/ranking/nao_regret.py -->',
    '<!-- end of benchmarks/ranking/nao_regret.py -->',
)
TITLE = '# NAO-V2\n'
METHODS = dict(nao='in proportion to weights', nao_uniform='uniformly')
SHOWN = (20, 50, 100, 200)  # numbers of ratings
COLORS = dict(random='#666666', evolution='#0072b2', nsga2='#009e73', effects='#d55e00',
              nao='#8c564b')  # fmt: skip
NAMES = dict(random='random', evolution='evolution', nsga2='NSGA-II', effects='main effects',
             nao='NAO')  # fmt: skip
BENCHMARKS = dict(
    macro='NAS-Bench-Macro, true accuracy',
    nb201='NAS-Bench-201, true accuracy',
    supernet="NAS-Bench-Macro, one supernet's cross entropy",
)


# ---- samplers ------------------------------------------------------------------------------------


def write_samplers(records: list[dict], pilot: dict, page: Path) -> None:
    """Replace the part of the page that compares the two samplers."""
    tables = '\n\n'.join(sampler_tables(records, pilot))
    write_between(page, SAMPLER_MARKS, tables, TITLE)
    print(tables)


def of_subset(run: dict, score: str, subset: str) -> float:
    """Kendall's tau-b; ``subset`` may be 'largest third', too."""
    return run['largest_third'][score] if subset == 'largest third' else tau(run, score, subset)


SUBSETS = {
    'all': 'all',
    'largest third': 'largest third by MACs',
    'accuracy >= 90': '>= 90 %',
}


def sampler_tables(records: list[dict], pilot: dict) -> list[str]:
    """Taus, differences of pairs of the same seed, and what each run cost."""
    runs = {
        name: {r['seed']: r for r in records if r['method'] == name and r['setting'] == 'cpu'}
        for name in METHODS
    }
    seeds = sorted(set(runs['nao']) & set(runs['nao_uniform']))
    if not seeds:
        return ['No pair of runs yet.']
    first = runs['nao'][seeds[0]]
    counts = [
        first['largest_third']['num'] if s == 'largest third' else first['subsets'][s]['num']
        for s in SUBSETS
    ]
    rows = [['n', '', '', *counts]]
    for name, label in METHODS.items():
        for score in ('score', 'loss'):
            rows.append([label, len(runs[name]), SCORES[score]] + [
                interval([of_subset(run, score, s) for run in runs[name].values()])
                for s in SUBSETS
            ])  # fmt: skip
    tables = [table_of(['drawn', 'seeds', 'ranked by', *SUBSETS.values()], rows)]
    rows = []
    for score in ('score', 'loss'):
        rows.append([SCORES[score], len(seeds)] + [
            interval([
                of_subset(runs['nao'][x], score, s) - of_subset(runs['nao_uniform'][x], score, s)
                for x in seeds
            ], sign=True)
            for s in SUBSETS
        ])  # fmt: skip
    header = ['in proportion, less uniformly; ranked by', 'pairs', *SUBSETS.values()]
    tables.append(table_of(header, rows))
    rows = []
    for seed in seeds:
        for name, label in METHODS.items():
            run = runs[name][seed]
            used = run['usage']
            pool = pilot['pools'][seed][name]
            rows.append([
                seed, label, f'{run["images_seen"]:,}', f'{pool["macs_m"]:.2f}',
                f'{pool["layers"]:.2f}', f'{used["train"]["cpu_s"]:.0f}',
                f'{used["train"]["peak_mb"]:.0f}', f'{run["train_loss"][-1]:.3f}',
                *(f'{of_subset(run, "score", s):.3f}' for s in SUBSETS),
            ])  # fmt: skip
    header = ['seed', 'drawn', 'images', 'mean MMACs of what is drawn', 'mean layers',
              'CPU s of training', 'peak MB', 'last training loss', *SUBSETS.values()]  # fmt: skip
    tables.append(table_of(header, rows))
    seconds = [[runs[name][s]['usage']['train']['cpu_s'] for s in seeds] for name in METHODS]
    ratios = [a / b for a, b in zip(*seconds)]
    tables.append(
        f'Pilot: a step drawn in proportion costs {statistics.mean(pilot["ratio"]):.4f} times one '
        f'drawn uniformly ({min(pilot["ratio"]):.3f} to {max(pilot["ratio"]):.3f} over the pools '
        'of six seeds). CPU seconds of a whole training in proportion, over those of the uniform '
        f'one of its seed: {interval(ratios)}.'
    )
    return tables


# ---- strategies ----------------------------------------------------------------------------------


def write_regret(records: list[dict], page: Path) -> None:
    """Replace the part of the page about strategies, and draw the curves."""
    if not records:
        print('no records of searches')
        return
    figure = page.with_suffix('.png')
    plot(records, figure)
    tables = '\n\n'.join(regret_tables(records))
    write_between(page, REGRET_MARKS, f'{tables}\n\n![Regret]({figure.name})', TITLE)
    print(tables)


def regret_at(curve: Sequence[Sequence[float]], num: int) -> float:
    """Regret after ``num`` ratings of a curve that is constant between its points."""
    return [regret for n, regret in curve if n <= num][-1]


def regret_tables(records: list[dict]) -> list[str]:
    """Of each benchmark the regret of every strategy, and paired differences."""
    tables = []
    for benchmark, title in BENCHMARKS.items():
        of = {
            name: {
                r['seed']: r
                for r in records
                if (r['benchmark'], r['strategy']) == (benchmark, name)
            }
            for name in NAMES
        }
        of = {name: runs for name, runs in of.items() if runs}
        if not of:
            continue
        rows = []
        for name, runs in of.items():
            cells = [interval([regret_at(r['curve'], n) for r in runs.values()]) for n in SHOWN]
            found = sum(r['curve'][-1][1] == 0 for r in runs.values())
            cpu = statistics.mean(r['cpu_s'] for r in runs.values())
            rows.append([NAMES[name], len(runs), *cells, f'{found} of {len(runs)}', f'{cpu:.1f}'])
        numbers = [f'{n} ratings' for n in SHOWN]
        header = [f'{title}: regret, points', 'seeds', *numbers, 'ended at the best', 'CPU s']
        tables.append(table_of(header, rows))
        rows = []
        for base in ('random', 'evolution'):
            for name in of:
                seeds = sorted(set(of[name]) & set(of.get(base, {})))
                if name in ('random', base) or not seeds:
                    continue
                rows.append([f'{NAMES[name]} less {NAMES[base]}', len(seeds)] + [
                    interval([
                        regret_at(of[name][s]['curve'], n) - regret_at(of[base][s]['curve'], n)
                        for s in seeds
                    ], sign=True)
                    for n in SHOWN
                ])  # fmt: skip
        if rows:
            tables.append(table_of(['difference, points', 'pairs', *numbers], rows))
    return tables


def plot(records: list[dict], path: Path) -> None:
    """Mean regret after 10 ratings and more; bands of one standard error."""
    from matplotlib.figure import Figure  # no pyplot: no display, no global state

    shown = [b for b in BENCHMARKS if any(r['benchmark'] == b for r in records)]
    figure = Figure(figsize=(5.5 * len(shown), 4.2), layout='constrained')
    for ax, benchmark in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown):
        for name, color in COLORS.items():
            curves = [
                r['curve'] for r in records if (r['benchmark'], r['strategy']) == (benchmark, name)
            ]
            if not curves:
                continue
            x = np.arange(10, max(curve[-1][0] for curve in curves) + 1)
            y = np.array([[regret_at(curve, n) for n in x] for curve in curves])
            mean, error = y.mean(axis=0), y.std(axis=0) / max(len(y) - 1, 1) ** 0.5
            ax.plot(x, mean, color=color, label=f'{NAMES[name]} ({len(curves)})')
            ax.fill_between(x, mean - error, mean + error, color=color, alpha=0.15)
        ax.set(xlabel='ratings', ylabel='regret, points', title=BENCHMARKS[benchmark])
        ax.set_ylim(0, None)
        ax.legend(fontsize=8)
        ax.grid(alpha=0.25)
    figure.savefig(path, dpi=110)
