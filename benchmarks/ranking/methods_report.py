"""From the records of all rows to the tables and the figure of docs/results/methods.md."""

import json
import statistics
from pathlib import Path

from close_report import interval, table_of  # this and the next are beside this file
from report import CEILINGS, COLORS, tau, write_between

MARKS = (
    '<!-- begin of benchmarks/ranking/methods.py -->',
    '<!-- end of benchmarks/ranking/methods.py -->',
)
ROWS = dict(
    spos='single paths (SPOS)',
    fairnas='strict fairness (FairNAS)',
    cream="Cream's board",
    fair_cream="strict fairness with Cream's board",
    dna='block-wise distillation (DNA)',
    nao="pool in proportion to weights (NAO-V2's sampler)",
)
BASELINES = dict(macs='MACs', layers='layers that are no identity', naswot='NASWOT, untrained')
SUBSETS = {'all': 'all', 'accuracy >= 90': '>= 90 %'}
REGRET_BASELINES = dict(macs='most MACs', layers='most layers that are no identity, mean',
                        naswot='NASWOT, untrained', random='random, mean')  # fmt: skip


class Results:
    """All records that the page is made of."""

    def __init__(self, folder: Path):
        def read(name: str, default=None) -> dict:
            path = folder / name
            return json.loads(path.read_text()) if path.is_file() or default is None else default

        self.dna = read('dna.json')['runs']
        self.naswot = read('naswot.json')['sets']['rated']
        content = read('methods.json', dict(again=[], dna_again=[], regret=[]))
        self.again, self.dna_again = content['again'], content['dna_again']
        self.runs = {
            row: [
                run for run in read('ranking.json')['runs']
                if run['method'] == row and run['setting'] == 'cpu'
            ]
            for row in ROWS
        }  # fmt: skip
        self.runs['dna'] = self.dna
        self.regret = {row: {} for row in ROWS}
        for record in content['regret']:
            self.regret[record['method']][record['seed']] = record['regret']
        self.regret['dna'] = {
            run['seed']: {share: found['dna'] for share, found in run['regret'].items()}
            for run in self.dna
        }
        self.alike = read('first_losses.json', dict(runs=[]))['runs']

    def taus(self, row: str, score: str, subset: str) -> dict[int, float]:
        """By seed. ``score`` 'named' is the one of the row, named beforehand."""
        if row == 'dna':
            named = {run['seed']: run['tau']['rated'][subset]['dna'] for run in self.dna}
            return named if score == 'named' else {}
        key = 'score' if score == 'named' else score
        return {run['seed']: tau(run, key, subset) for run in self.runs[row]}

    def costs(self, row: str) -> dict[str, list[float]]:
        """CPU seconds of training and of rating, and megabytes, of each run that has them."""
        if row == 'dna':
            used = [run for run in [*self.dna, *self.dna_again] if 'peak_mb' in run] or self.dna
            return dict(
                train=[sum(run['cpu_s'].values()) for run in used],
                peak=[max(run['peak_mb'].values()) for run in used if 'peak_mb' in run],
            )
        again = [run for run in self.again if run['method'] == row]
        used = [run['usage'] for run in [*self.runs[row], *again] if 'usage' in run]
        return dict(
            train=[one['train']['cpu_s'] for one in used],
            peak=[one['train']['peak_mb'] for one in used],
        )

    def images(self, row: str) -> int:
        """Of one run; a teacher's are not among them."""
        return self.runs[row][0]['images_seen']


def write_report(folder: Path) -> None:
    """Replace the marked part of the page, and draw its figure."""
    results, page = Results(folder), folder / 'methods.md'
    figure = page.with_suffix('.png')
    plot(results, figure)
    tables = '\n\n'.join(tables_of(results))
    write_between(page, MARKS, f'{tables}\n\n![All methods]({figure.name})', '# All methods\n')
    print(tables)


def tables_of(results: Results) -> list[str]:
    others = [(label, row, 'spos') for row, label in ROWS.items() if row != 'spos']
    halves = [(ROWS[row], 'fair_cream', row) for row in ('fairnas', 'cream')]
    tables = [
        means(results),
        differences(results, 'less single paths', others),
        differences(results, f'{ROWS["fair_cream"]}, less', halves),
        regrets(results),
        regret_differences(results),
        repeated(results),
        first_losses(results),
    ]
    return [table for table in tables if table]


def _range(values: list[float]) -> str:
    if not values:
        return '-'
    low, high = min(values), max(values)
    return f'{low:,.0f}' if low == high else f'{low:,.0f} to {high:,.0f}'


def means(results: Results) -> str:
    """One row a way to train, then what needs none, on the same networks."""
    rows = [['n', '', '', '', '', *(results.naswot[s]['num'] for s in SUBSETS), '', '']]
    for row, label in ROWS.items():
        if not results.runs[row]:
            continue
        costs = results.costs(row)
        cells = [
            interval(list(found.values())) if (found := results.taus(row, score, s)) else '-'
            for score in ('named', 'loss')
            for s in SUBSETS
        ]
        number, measured = len(results.runs[row]), f'{_range(costs["train"])}'
        measured += f' ({len(costs["train"])})' if costs['train'] else ''
        images = f'{results.images(row):,}' + (', teacher as many' if row == 'dna' else '')
        rows.append([label, number, images, measured, _range(costs['peak']), *cells])
    for name, label in {**BASELINES, **CEILINGS}.items():
        cells = []
        for subset in SUBSETS:
            entry = results.naswot[subset]
            if name == 'naswot':
                cells.append(interval(entry['naswot_seeds']))
            else:
                cells.append(f'{entry[name]["kendall"]["value"]:.3f}')
        seeds = len(results.naswot['all']['naswot_seeds']) if name == 'naswot' else '-'
        rows.append([label, seeds, '-', '-', '-', *cells, '-', '-'])
    header = ['trained by', 'seeds', 'images', 'CPU s of training (runs)', 'peak MB',
              *(f'tau, {label}' for label in SUBSETS.values()),
              *(f'by cross entropy, {label}' for label in SUBSETS.values())]  # fmt: skip
    return table_of(header, rows)


def differences(results: Results, title: str, pairs: list[tuple[str, str, str]]) -> str:
    """Of each (label, row, base) the row's tau less that of the base with the same seed."""
    rows = []
    for label, row, base in pairs:
        if not results.runs[row]:
            continue
        cells, seeds = [], []
        for score in ('named', 'loss'):
            for subset in SUBSETS:
                less, found = (results.taus(name, score, subset) for name in (base, row))
                both = sorted(set(less) & set(found))
                seeds = seeds or both
                cells.append(interval([found[s] - less[s] for s in both], sign=True)
                             if both else '-')  # fmt: skip
        rows.append([label, ' '.join(map(str, seeds)), *cells])
    header = [title, 'pairs of seeds',
              *(f'tau, {label}' for label in SUBSETS.values()),
              *(f'by cross entropy, {label}' for label in SUBSETS.values())]  # fmt: skip
    return table_of(header, rows) if rows else ''


def regrets(results: Results) -> str:
    """Points missed within each share of the budget by the pick of the row's score."""
    shares = list(results.dna[0]['regret'])
    rows = []
    for row, label in ROWS.items():
        found = results.regret[row]
        if found:
            cells = [statistics.mean(one[s] for one in found.values()) for s in shares]
            mean = interval([statistics.mean(one[s] for s in shares) for one in found.values()], 2)
            seeds = ' '.join(map(str, sorted(found)))
            rows.append([label, seeds, *(f'{cell:.2f}' for cell in cells), mean])
    for name, label in REGRET_BASELINES.items():
        each = [[run['regret'][s][name] for s in shares] for run in results.dna]
        cells = [statistics.mean(column) for column in zip(*each)]
        mean = interval([statistics.mean(one) for one in each], 2) if name == 'naswot' else None
        mean = mean or f'{statistics.mean(cells):.2f}'
        seeds = ' '.join(str(run['seed']) for run in results.dna) if name == 'naswot' else '-'
        rows.append([label, seeds, *(f'{cell:.2f}' for cell in cells), mean])
    first = results.dna[0]['regret']
    rows.append(['networks within the budget', '', *(first[s]['networks'] for s in shares), ''])
    rows.append(['best accuracy, %', '', *(f'{first[s]["best"]:.2f}' for s in shares), ''])
    return table_of(['regret in points, within a share of', 'seeds', *shares, 'mean'], rows)


def regret_differences(results: Results) -> str:
    """Mean over the shares, each way to train less single paths of the same seed."""
    rows = []
    mean = lambda found: statistics.mean(found.values())  # noqa: E731
    base = results.regret['spos']
    for row, label in ROWS.items():
        both = sorted(set(base) & set(results.regret[row]))
        if row == 'spos' or not both:
            continue
        values = [mean(results.regret[row][s]) - mean(base[s]) for s in both]
        rows.append([label, ' '.join(map(str, both)), interval(values, 2, sign=True)])
    header = ['regret less that of single paths, mean of the shares', 'pairs of seeds', 'points']
    return table_of(header, rows) if rows else ''


def repeated(results: Results) -> str:
    """Runs of before and the same seeds made anew, by today's code."""
    rows = []
    for new in results.again:
        for old in results.runs[new['method']]:
            if old['seed'] == new['seed']:
                cells = [
                    f'{tau(old, score, s):.3f}, {tau(new, score, s):.3f}'
                    for score in ('score', 'loss')
                    for s in SUBSETS
                ]
                rows.append([f'{new["method"]} {new["seed"]}', *cells])
    for new in results.dna_again:
        for old in results.dna:
            if old['seed'] == new['seed'] and 'tau' in new:
                cells = [f'{old["tau"]["rated"][s]["dna"]:.3f}, {new["tau"]["rated"][s]["dna"]:.3f}'
                         for s in SUBSETS]  # fmt: skip
                rows.append([f'dna {new["seed"]}', *cells, '-', '-'])
    header = ['made again: tau before, anew', *SUBSETS.values(),
              *(f'by cross entropy, {label}' for label in SUBSETS.values())]  # fmt: skip
    return table_of(header, rows) if rows else ''


def first_losses(results: Results) -> str:
    """How far first losses of records' code and of today's are apart; see first_losses.py."""
    rows = []
    for run in results.alike:
        differ = run['differ']
        within = next((i for i, value in enumerate(differ) if value > 1e-3), len(differ))
        rows.append([
            f'{run["method"]} {run["seed"]}', run['commit'], run['precision'], within,
            f'{max(differ):.1e}', 'yes' if run['alike'] else 'no',
        ])  # fmt: skip
    header = ['record of', 'code', 'precision', 'steps until 1e-3 apart',
              f'largest difference of {len(results.alike[0]["differ"]) if rows else 50} losses',
              'alike to 1e-3']  # fmt: skip
    return table_of(header, rows) if rows else ''


def plot(results: Results, path: Path) -> None:
    """Tau of every run against the seconds of its training, and the regrets by share."""
    from matplotlib.figure import Figure  # no pyplot: no display, no global state

    figure = Figure(figsize=(13, 4.4), layout='constrained')
    axes = figure.subplots(1, 3)
    for ax, subset in zip(axes, SUBSETS):
        for row, label in ROWS.items():
            taus, seconds = results.taus(row, 'named', subset), results.costs(row)['train']
            if taus and seconds:
                x = [statistics.mean(seconds)] * len(taus)
                ax.plot(x, list(taus.values()), 'o', color=COLORS[row], alpha=0.7, label=label)
        for name, line in (('layers', ':'), ('naswot', '--')):
            value = results.naswot[subset][name]['kendall']['value']
            ax.axhline(value, color='k', linestyle=line, linewidth=1, label=BASELINES[name])
        ax.set(xlabel='CPU seconds of training, with a teacher', ylabel='Kendall tau-b',
               title='all networks' if subset == 'all' else 'networks above 90 %')  # fmt: skip
        ax.grid(alpha=0.25)
    shares = list(results.dna[0]['regret'])
    for row in ROWS:
        found = results.regret[row]
        if found:
            y = [statistics.mean(one[s] for one in found.values()) for s in shares]
            axes[2].plot(range(len(shares)), y, 'o-', color=COLORS[row])
    axes[2].set(xlabel='share of the range of MACs', ylabel='regret, points', ylim=(0, None))
    axes[2].set_xticks(range(len(shares)), shares)
    axes[2].grid(alpha=0.25)
    axes[0].legend(fontsize=7, loc='center right')
    figure.savefig(path, dpi=110)
