"""From the records of runs to tables and figures."""

import statistics
from collections import defaultdict
from pathlib import Path

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
COLORS = dict(spos='#666666', fairnas='#0072b2', cream='#d55e00', cream_best='#e69f00',
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
    page = path.with_suffix('.md')
    text = page.read_text() if page.is_file() else f'# Ranking\n\n{BEGIN}\n{END}\n'
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    figure = path.with_suffix('.png')
    plot(records, figure)
    tables = '\n\n'.join(tables_of(records))
    page.write_text(f'{before}{BEGIN}\n\n{tables}\n\n![Kendall tau]({figure.name})\n\n{END}{after}')
    print(tables)
    print(f'written: {page}, {figure}')


def tables_of(records: list[dict]) -> list[str]:
    tables = []
    for setting in dict.fromkeys(r['setting'] for r in records):
        runs = [r for r in records if r['setting'] == setting]
        groups = defaultdict(list)
        for run in runs:
            groups[run['method']].append(run)
        tables.append(f'### Setting `{setting}`: Kendall tau-b, mean over seeds (least to most)')
        tables += [_means(groups), _paired(groups), _every_run(runs), _losses(runs)]
        tables.append(_depths(groups))
    return [table for table in tables if table]


def tau(run: dict, score: str, subset: str) -> float:
    return run['subsets'][subset][score]['kendall']['value']


def _means(groups) -> str:
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


def plot(records: list[dict], path: Path) -> None:
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
            ax.set_xlabel('Kendall tau-b; dotted: MACs alone')
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
