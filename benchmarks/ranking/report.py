"""From the records of runs to tables and figures."""

import json
import math
import statistics
from collections import defaultdict
from pathlib import Path

from scipy import stats

BEGIN, END = (
    '<!-- begin of benchmarks/ranking/run.py -->',
    '<!-- end of benchmarks/ranking/run.py -->',
)
# The keys of rank_correlation.json; 'score' is the tool's default.
SCORES = dict(
    score='training effects',
    combined='both effects',
    main_effects='rating effects',
    loss='cross entropy',
    top1='top-1',
)
SUBSETS = {'all': 'all', 'accuracy >= 90': '>= 90 %', 'accuracy >= 92': '>= 92 %',
           'without identity': 'no identity'}  # fmt: skip
# What stands in naswot.json, see naswot.py.
BASELINES = dict(
    macs='MACs', params='params', layers='layers that are no identity', naswot='NASWOT, untrained'
)
CEILINGS = dict(
    one_training='ceiling: one training of each network',
    fitted_effects='ceiling: effects fitted to the accuracies',
)
COLORS = dict(spos='#666666', fairnas='#0072b2', cream='#d55e00', fair_cream='#56b4e9',
              nao='#8c564b', nao_uniform='#bcbd22', dna='#9467bd', cream_best='#e69f00',
              cream_random='#009e73', cream_nearest='#cc79a7')  # fmt: skip


def write_report(records: list[dict], path: Path) -> None:
    """Replace the marked part of the page beside ``path``, and draw the figure.

    Args:
        records (list[dict]): Of the runs, as in ``path``.
        path (Path): ``DIR/NAME.json``; the page is ``DIR/NAME.md``, made if it is not there.
    """
    if not records:
        print(f'no records in {path}')
        return
    page, figure = path.with_suffix('.md'), path.with_suffix('.png')
    baselines = read_baselines(path)
    plot(records, figure, baselines)
    tables = '\n\n'.join(tables_of(records, baselines))
    write_between(page, (BEGIN, END), f'{tables}\n\n![Kendall tau]({figure.name})', '# Ranking\n')
    print(tables)
    print(f'written: {page}, {figure}')


def write_between(page: Path, marks: tuple[str, str], body: str, title: str) -> None:
    """Replace what stands between two marks of a page; a new one begins with ``title``."""
    begin, end = marks
    text = page.read_text() if page.is_file() else title
    if begin not in text:
        text += f'\n{begin}\n{end}\n'
    before, rest = text.split(begin)
    page.write_text(f'{before}{begin}\n\n{body}\n\n{end}{rest.split(end)[1]}')


def read_baselines(path: Path) -> dict | None:
    """By set of networks the correlations in naswot.json beside ``path``; None without it."""
    path = path.with_name('naswot.json')
    return json.loads(path.read_text()).get('sets') if path.is_file() else None


def tables_of(records: list[dict], baselines: dict | None = None) -> list[str]:
    tables = []
    for setting in dict.fromkeys(r['setting'] for r in records):
        runs = [r for r in records if r['setting'] == setting]
        groups = defaultdict(list)
        for run in runs:
            groups[run['method']].append(run)
        tables.append(f'### Setting `{setting}`: Kendall tau-b, mean over seeds (least to most)')
        tables += [_means(groups, baselines), _less_naswot(groups, baselines), _paired(groups)]
        tables += [_every_run(runs), _losses(runs), _depths(groups)]
    tables.append(_baselines(baselines))
    return [table for table in tables if table]


def tau(run: dict, score: str, subset: str) -> float:
    return run['subsets'][subset][score]['kendall']['value']


def _means(groups, baselines) -> str:
    lines = [
        '| trained by | seeds | ranked by | ' + ' | '.join(SUBSETS.values()) + ' |',
        '|' + '---|' * (3 + len(SUBSETS)),
    ]
    for method, runs in groups.items():
        for score, label in SCORES.items():
            cells = []
            for subset in SUBSETS:
                values = [tau(run, score, subset) for run in runs]
                spread = f' ({min(values):.3f} to {max(values):.3f})' if len(values) > 1 else ''
                cells.append(f'{statistics.mean(values):.3f}{spread}')
            lines.append(f'| {method} | {len(runs)} | {label} | ' + ' | '.join(cells) + ' |')
    first = next(iter(groups.values()))[0]
    for cost in ('macs', 'params'):
        cells = [f'{tau(first, cost, subset):.3f}' for subset in SUBSETS]
        lines.append(f'| - | - | {cost} alone | ' + ' | '.join(cells) + ' |')
    if baselines is None:
        return '\n'.join(lines)
    for name, label in {**BASELINES, **CEILINGS}.items():
        if name in ('macs', 'params'):
            continue
        cells = []
        for subset in SUBSETS:
            found = baselines['rated'][subset]
            value = found[name]['kendall']['value']
            if name == 'naswot':
                seeds = found['naswot_seeds']
                spread = f' ({min(seeds):.3f} to {max(seeds):.3f})' if len(seeds) > 1 else ''
                cells.append(f'{statistics.mean(seeds):.3f}{spread}')
            else:
                cells.append('-' if value is None else f'{value:.3f}')
        seeds = len(baselines['rated']['all']['naswot_seeds']) if name == 'naswot' else '-'
        lines.append(f'| - | {seeds} | {label} | ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


def _less_naswot(groups, baselines) -> str:
    """Each method less the strongest baseline: mean over seeds and 95 % interval of Student's t.

    A run is paired with NASWOT of its seed, so that the draws of both count as chance.
    """
    if baselines is None:
        return ''
    lines = [
        '| less NASWOT, same networks | seeds | ranked by | ' + ' | '.join(SUBSETS.values()) + ' |',
        '|' + '---|' * (3 + len(SUBSETS)),
    ]
    num = len(baselines['rated']['all']['naswot_seeds'])
    for method, runs in groups.items():
        runs = [run for run in runs if run['seed'] < num]
        if len(runs) < 2:
            continue
        for score, label in SCORES.items():
            cells = []
            for subset in SUBSETS:
                seeds = baselines['rated'][subset]['naswot_seeds']
                values = [tau(run, score, subset) - seeds[run['seed']] for run in runs]
                half = stats.t.ppf(0.975, len(values) - 1) * statistics.stdev(values)
                half /= math.sqrt(len(values))
                mean = statistics.mean(values)
                cells.append(f'{mean:+.3f} [{mean - half:+.3f}, {mean + half:+.3f}]')
            lines.append(f'| {method} | {len(runs)} | {label} | ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines) if len(lines) > 2 else ''


def _baselines(baselines) -> str:
    """Baselines and ceilings with bootstrap intervals over the networks."""
    if baselines is None:
        return ''
    lines = [
        '| networks | ranked by | ' + ' | '.join(SUBSETS.values()) + ' |',
        '|' + '---|' * (2 + len(SUBSETS)),
    ]
    for name, label in (('all', 'the whole table'), ('rated', 'those that are rated')):
        subsets = baselines[name]
        sizes = ' | '.join(f'n = {subsets[subset]["num"]}' for subset in SUBSETS)
        lines.append(f'| {label} | | {sizes} |')
        for score, scored_by in {**BASELINES, **CEILINGS}.items():
            cells = []
            for subset in SUBSETS:
                entry = subsets[subset][score]['kendall']
                if entry['value'] is None:
                    cells.append('-')
                    continue
                low, high = entry['interval']
                cells.append(f'{entry["value"]:.3f} [{low:.3f}, {high:.3f}]')
            lines.append(f'| | {scored_by} | ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


def _paired(groups) -> str:
    """Each method less single paths, run by run of the same seed: same images, same paths."""
    spos = {run['seed']: run for run in groups.get('spos', [])}
    lines = [
        '| less single-path training of the same seed | ranked by | ' + ' | '.join(SUBSETS.values())
        + ' |',
        '|' + '---|' * (2 + len(SUBSETS)),
    ]  # fmt: skip
    for method, runs in groups.items():
        pairs = [(run, spos[run['seed']]) for run in runs if run['seed'] in spos]
        if method == 'spos' or not pairs:
            continue
        for score, label in SCORES.items():
            cells = [
                ', '.join(f'{tau(a, score, subset) - tau(b, score, subset):+.3f}' for a, b in pairs)
                for subset in SUBSETS
            ]
            lines.append(f'| {method} | {label} | ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines) if len(lines) > 2 else ''


def _every_run(runs) -> str:
    lines = [
        '| run | n | tau [95 %] | above 90 % [95 %] | picked within 80 % of most MACs | images '
        '| training |',
        '|' + '---|' * 7,
    ]  # fmt: skip
    for run in runs:
        intervals = []
        for subset in ('all', 'accuracy >= 90'):
            entry = run['subsets'][subset]['score']['kendall']
            low, high = entry['interval']
            intervals.append(f'{entry["value"]:.3f} [{low:.3f}, {high:.3f}]')
        pick = next(iter(run['regret'].values()))['score']
        lines.append(
            f'| {run["method"]} {run["seed"]} | {run["rated"]} | {" | ".join(intervals)} | '
            f'{pick["picked"]:.2f} % at {pick["picked_macs_m"]:.1f} M | {run["images_seen"]:,} | '
            f'{run["train_s"] / 60:.1f} min |'
        )
    return '\n'.join(lines)


def _losses(runs) -> str:
    """How fast each learned: classification loss, whatever else the method adds to it.

    And what the fit of training effects met: how far it says that paths differ, and how much one
    step's loss is off.
    """
    epochs = len(runs[0]['train_loss'])
    shown = sorted({0, 1, *range(epochs - 3, epochs)} & set(range(epochs)))
    lines = [
        '| training loss, nats | ' + ' | '.join(f'epoch {i + 1}' for i in shown)
        + ' | spread of paths | error of a step |',
        '|' + '---|' * (3 + len(shown)),
    ]  # fmt: skip
    for run in runs:
        cells = ' | '.join(f'{run["train_loss"][i]:.3f}' for i in shown)
        fit = f'{run["path_spread"]:.4f} | {run["step_error"]:.4f}'
        lines.append(f'| {run["method"]} {run["seed"]} | {cells} | {fit} |')
    return '\n'.join(lines)


def _depths(groups) -> str:
    """Where single ratings fail: the loss of one run of each method by depth, beside the truth."""
    runs = [run for group in groups.values() for run in group[:1]]
    lines = [
        '| layers that are no identity | n | trained alone, % | '
        + ' | '.join(f'{run["method"]}, nats' for run in runs)
        + ' |',
        '|' + '---|' * (3 + len(runs)),
    ]
    for i, row in enumerate(runs[0]['by_depth']):
        losses = ' | '.join(f'{run["by_depth"][i]["loss"]:.3f}' for run in runs)
        lines.append(f'| {row["layers"]} | {row["num"]} | {row["accuracy"]:.2f} | {losses} |')
    return '\n'.join(lines)


def plot(records: list[dict], path: Path, baselines: dict | None = None) -> None:
    """Tau of every run, and tau against images seen."""
    from matplotlib.figure import Figure  # no pyplot: no display, no global state

    settings = list(dict.fromkeys(r['setting'] for r in records))
    figure = Figure(figsize=(13, 4.4 * len(settings)), layout='constrained')
    axes = figure.subplots(len(settings), 3, squeeze=False)
    for row, setting in zip(axes, settings):
        runs = [r for r in records if r['setting'] == setting]
        methods = list(dict.fromkeys(r['method'] for r in runs))
        for ax, subset in zip(row, ('all', 'accuracy >= 90')):
            for y, method in enumerate(methods):
                for score, marker in zip(SCORES, 'o^v+x'):
                    values = [tau(r, score, subset) for r in runs if r['method'] == method]
                    style = dict(color=COLORS[method], marker=marker, linestyle='none', alpha=0.9)
                    ax.plot(values, [y] * len(values), **style)
            ax.axvline(tau(runs[0], 'macs', subset), color='k', linestyle=':', linewidth=1)
            ax.set(yticks=range(len(methods)), yticklabels=methods, ylim=(len(methods) - 0.5, -0.5))
            seen = 'Kendall tau-b; dotted: MACs alone'
            if baselines is not None:
                untrained = baselines['rated'][subset]['naswot']['kendall']['value']
                ax.axvline(untrained, color='k', linestyle='--', linewidth=1)
                seen += '\ndashed: NASWOT, untrained'
            ax.set_xlabel(seen)
            ax.set_title('all networks' if subset == 'all' else 'networks above 90 %', fontsize=10)
            ax.grid(alpha=0.25)
        for score, marker in zip(SCORES, 'o^v+x'):
            row[1].plot([], [], color='k', marker=marker, linestyle='none', label=SCORES[score])
        row[1].legend(fontsize=8, title='ranked by', bbox_to_anchor=(1.02, 1), loc='upper left')
        for run in runs:
            if len(run['curve']) > 1:
                x = [point['images_seen'] / 1000 for point in run['curve']]
                for score, line in (('score', '-'), ('loss', ':')):
                    y = [point[score]['all'] for point in run['curve']]
                    label = run['method'] if score == 'score' else None
                    row[2].plot(x, y, line, color=COLORS[run['method']], marker='.', label=label)
        row[2].set_title('one seed, training effects\n(dotted: cross entropy)',
                         fontsize=10)  # fmt: skip
        row[2].set_xlabel('training images seen, thousands')
        row[2].set_ylabel('Kendall tau-b')
        row[2].legend(fontsize=8)
        row[2].grid(alpha=0.25)
    figure.savefig(path, dpi=110)
