"""What does the answer of a search miss? Cream under five budgets on NAS-Bench-Macro.

  python benchmarks/ranking/regret.py            # 15 runs on 2 CPU cores, see --jobs
  python benchmarks/ranking/regret.py --report   # the table of the records alone

Each run trains configs/ranking/cream.py under a budget with `tools/train.py`, in 6 to 14 minutes
of one core, and answers by each rule from that one training. The budget allows a share of the
range of the space's costs: up to min + share * (max - min) MACs. Regret is the true accuracy of
the best network within the budget, less that of the answer. Ratings are made on 1,000 images
that are held out of training, as in the shipped search.

Where docs/results/naswot.json has the seed of a run (see naswot.py), the record also says how well
training effects, NASWOT and both together, standardised and equally weighted, rank the networks
within the budget, and what they pick. NASWOT's seed of a run is the run's.

When a run ends, its record is written to docs/results/regret.json, and a run that stands there
is not made again. From the records comes the table in docs/results/ranking.md, between its marks.
Needs what benchmarks/ranking/run.py needs.
"""

import argparse
import concurrent.futures
import json
import os
import resource
import statistics
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
from mmengine.registry import MODELS, init_default_scope
from naswot import read_records as naswot_records  # this and the next are beside this file
from report import SUBSETS, write_between
from run import ROOT, image_folder, prepare, weights_of
from scipy import stats

from cream_mm.apis import open_search
from cream_mm.command_line import one_line_errors
from cream_mm.config.load import load_config
from cream_mm.costs import Budget
from cream_mm.evaluation import (
    AccuracyTable,
    best_rated,
    correlation,
    first_not_vetoed,
    num_layers,
)
from cream_mm.evaluation.rank_correlation import best_first
from cream_mm.files import write_json
from cream_mm.files.path_log import PATH_LOG
from cream_mm.search import combined, training_effects

FORMAT = 'cream_mm.regret/1'
SHARES = (0.2, 0.4, 0.6, 0.8, 1.0)
CONFIG = ROOT / 'configs/ranking/cream.py'
RULES = dict(
    board_top1='board, best top-1 (old)',
    board='board, least cross entropy',
    effects='training effects',
    effects_veto='training effects, vetoed by ratings (new)',
    effects_board_veto='the same, board among the finalists',
    effects_naswot='training effects + NASWOT',
    naswot='NASWOT, untrained',
    macs='most MACs',
    layers='most layers that are no identity, mean',
    random='random, mean',
)
RANKED_BY = ('effects', 'naswot', 'effects_naswot')
LEAST = 20  # networks that a correlation is shown of
BEGIN, END = (
    '<!-- begin of benchmarks/ranking/regret.py -->',
    '<!-- end of benchmarks/ranking/regret.py -->',
)


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--shares', type=float, nargs='+', choices=SHARES, default=list(SHARES))
    parser.add_argument('--jobs', type=int, default=2, help='runs at a time, one thread each')
    parser.add_argument('--data', type=Path, default=ROOT / 'data', help='default: data/')
    parser.add_argument('--work-dir', type=Path, default=ROOT / 'work_dirs/ranking/regret')
    parser.add_argument('--records', type=Path, default=ROOT / 'docs/results/regret.json')
    parser.add_argument('--naswot', type=Path, default=ROOT / 'docs/results/naswot.json')
    parser.add_argument('--report', action='store_true', help='run nothing')
    args = parser.parse_args(argv)
    args.setting = 'cpu'
    return args


def main(argv=None) -> None:
    args = parse_args(argv)
    records = read_records(args.records)
    if not args.report:
        known = {(r['share'], r['seed']) for r in records}
        runs = [(s, share) for s in args.seeds for share in args.shares if (share, s) not in known]
        print(f'{len(records)} runs are in {args.records}, {len(runs)} are to be made')
        if runs:
            prepare(args)
            space = open_table(args)
            lock = threading.Lock()
            with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
                jobs = [pool.submit(train, args, space, *run) for run in runs]
                for job in concurrent.futures.as_completed(jobs):
                    with lock:  # answering is short, and an open search is one a process
                        records.append(answer(args, space, *job.result()))
                        records.sort(key=lambda r: (r['seed'], r['share']))
                        write_json(args.records, dict(format=FORMAT, runs=records))
                        print(one_line(records, job.result()), flush=True)
        add_naswot(args, records)
    write_table(records, args.records.with_name('ranking.md'))


def read_records(path: Path) -> list[dict]:
    if not path.is_file():
        return []
    content = json.loads(path.read_text())
    if content.get('format') != FORMAT:
        raise ValueError(f'{path} is not of format {FORMAT}')
    return content['runs']


def open_table(args):
    """(table of true accuracies, cost model at the size of the training)."""
    cfg = load_config(str(CONFIG), dict(data_root=str(image_folder(args))))
    init_default_scope('mmpretrain')
    cost_model = MODELS.build(cfg.model).cost_model
    return AccuracyTable(args.data / 'nas-bench-macro_cifar10.json', cost_model), cost_model


def highest(cost_model, share: float) -> float:
    low, high = (side['macs_m'] for side in cost_model.extremes())
    return round(low + share * (high - low), 7)


def options_of(args, cost_model, share: float, seed: int) -> dict:
    return {
        'data_root': str(image_folder(args)),
        'budget.macs_m': [0, highest(cost_model, share)],
        'randomness.seed': seed,
    }


def train(args, space, seed: int, share: float) -> tuple[int, float]:
    folder = args.work_dir / f'cream-{share}-{seed}'
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / 'best_arch.json').is_file():
        options = options_of(args, space[1], share, seed).items()
        command = [sys.executable, str(ROOT / 'tools/train.py'), str(CONFIG), '--resume',
                   '--work-dir', str(folder), '--cfg-options',
                   *(f'{k}={v}'.replace(' ', '') for k, v in options)]  # fmt: skip
        env = dict(os.environ, OMP_NUM_THREADS='1', MKL_NUM_THREADS='1')
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with open(folder / 'output.txt', 'a') as out:
            done = subprocess.run(command, env=env, stdout=out, stderr=out, cwd=ROOT)
        if done.returncode:
            raise RuntimeError(f'training failed; see {folder / "output.txt"}')
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if args.jobs == 1:  # else two runs are in one sum
            used = dict(user_s=after.ru_utime - before.ru_utime,
                        sys_s=after.ru_stime - before.ru_stime)  # fmt: skip
            write_json(folder / 'time.json', used)
    return seed, share


def answer(args, space, seed: int, share: float) -> dict:
    """The network that each rule takes from one training, and what it misses."""
    table, cost_model = space
    folder = args.work_dir / f'cream-{share}-{seed}'
    config = load_config(str(CONFIG), dict(data_root=str(image_folder(args))))
    checkpoint = folder / f'epoch_{config.max_epochs}.pth'
    options = options_of(args, cost_model, share, seed)
    options.update({
        'test_dataloader.dataset.folder': 'train',  # the config's default are test images
        'test_dataloader.dataset.part': 'holdout',
        'test_cfg.num_random': 0,
    })  # fmt: skip
    with open_search(str(CONFIG), str(checkpoint), str(folder / 'answer'), options) as loop:
        loop.run()
        finalists, why_not = loop._finalists()
        board = loop.paths_of_the_board()
        evaluator = loop.build_evaluator()
        effects = loop._training_effects()
        rated = list(dict.fromkeys(finalists + board))
        rating = dict(zip(rated, evaluator.rate_all(rated, lambda *_: None)))
    if why_not:
        raise RuntimeError(f'{folder}: {why_not}')
    score = dict(zip(rated, effects.predict(rated)))
    by_effects = sorted(rated, key=lambda arch: -score[arch])
    cheap_first = sorted(board, key=lambda arch: cost_model.cost(arch).macs)
    chosen = dict(
        board_top1=max(cheap_first, key=lambda arch: rating[arch].top1_pct),
        board=cheap_first[best_rated([rating[arch] for arch in cheap_first])],
        effects=finalists[0],
        effects_veto=finalists[first_not_vetoed([rating[arch] for arch in finalists])],
        effects_board_veto=by_effects[first_not_vetoed([rating[arch] for arch in by_effects])],
    )
    budget = Budget(cost_model, macs_m=(0, highest(cost_model, share)))
    inside = [row for row in table.rows if budget.is_feasible(row.arch)]
    best = max(inside, key=lambda row: row.accuracy)
    canonical = cost_model.space.canonical
    truth = {canonical(row.arch): row.accuracy for row in inside}
    layers = [sum(c > 0 for stage in row.arch.stages for c in stage) for row in inside]
    deepest = [row.accuracy for row, n in zip(inside, layers) if n == max(layers)]
    most = max(inside, key=lambda row: cost_model.cost(row.arch).macs)
    regret = {rule: best.accuracy - truth[canonical(arch)] for rule, arch in chosen.items()}
    regret.update(
        macs=best.accuracy - most.accuracy,
        layers=best.accuracy - statistics.mean(deepest),
        random=best.accuracy - statistics.mean(row.accuracy for row in inside),
    )
    return dict(
        share=share,
        seed=seed,
        macs_m=highest(cost_model, share),
        networks=len(inside),
        best=best.accuracy,
        regret={rule: round(value, 4) for rule, value in regret.items()},
        archs={rule: cost_model.space.format(arch) for rule, arch in chosen.items()},
        num_images=rating[finalists[0]].num_images,
        steps=len((folder / PATH_LOG).read_text().splitlines()),
        train_cpu_s=cpu_seconds(folder),
        effects=weights_of(effects),
    )


def add_naswot(args, records: list[dict]) -> None:
    """Complete the records with NASWOT, beside and with the effects of the training.

    Raises:
        ValueError: If effects read again pick another network than the record says.
    """
    scores_of = {record['seed']: record['scores'] for record in naswot_records(args.naswot)}
    missing = [r for r in records if 'ranks' not in r and r['seed'] in scores_of]
    if not missing:
        return
    table, cost_model = open_table(args)
    for record in missing:
        folder = args.work_dir / f'cream-{record["share"]}-{record["seed"]}'
        if 'effects' not in record:  # records of before
            log = folder / PATH_LOG
            if not log.is_file():
                print(f'no {log}: the record of this run stays without NASWOT')
                continue
            record['effects'] = weights_of(training_effects(log, cost_model.space))
        budget = Budget(cost_model, macs_m=(0, highest(cost_model, record['share'])))
        rows = [row for row in table.rows if budget.is_feasible(row.arch)]
        ranks, regrets = with_naswot(
            rows, cost_model.space, record['effects'], scores_of[record['seed']]
        )
        if abs(regrets.pop('effects') - record['regret']['effects']) > 1e-3:
            raise ValueError(f'{folder} has other training effects than its record')
        record['regret'].update(regrets)
        record['ranks'] = ranks
        write_json(args.records, dict(format=FORMAT, runs=records))


def with_naswot(rows, space, weights: dict[str, float], naswot: dict[str, float]):
    """How training effects, NASWOT, and both rank networks, and what is missed by their picks.

    Both: standardised over these networks, equally weighted.

    Args:
        rows (list[TableRow]): The networks.
        space (MBConvSpace): Their space.
        weights (dict[str, float]): See :func:`weights_of`.
        naswot (dict[str, float]): Of each network, by its digits in canonical form.

    Returns:
        tuple[dict, dict]: By subset ``num`` and Kendall's tau-b of each, None where there is none;
        regret of each.
    """
    truth = np.array([row.accuracy for row in rows])
    macs = np.array([row.macs_m for row in rows])
    layers = np.array([num_layers(row.arch, space) for row in rows])
    effects = np.array([
        sum(
            weights[f'{stage}.{layer}.{choice}']
            for stage, choices in enumerate(row.arch.stages, start=1)
            for layer, choice in enumerate(choices)
        )
        for row in rows
    ])  # fmt: skip
    untrained = np.array([naswot[space.format(space.canonical(row.arch))] for row in rows])
    scorings = dict(effects=effects, naswot=untrained, effects_naswot=combined(effects, untrained))
    masks = {
        'all': truth > -1,
        'accuracy >= 90': truth >= 90,
        'accuracy >= 92': truth >= 92,
        'without identity': layers == space.num_layers,
    }
    ranks = {}
    for subset, mask in masks.items():
        taus = {k: correlation(v[mask], truth[mask])['kendall'] for k, v in scorings.items()}
        ranks[subset] = dict(
            num=int(mask.sum()),
            **{k: round(tau, 4) if np.isfinite(tau) else None for k, tau in taus.items()},
        )
    missed = {
        name: round(float(truth.max() - truth[best_first(scores, macs)[0]]), 4)
        for name, scores in scorings.items()
    }
    return ranks, missed


def cpu_seconds(folder: Path) -> float | None:
    path = folder / 'time.json'
    if not path.is_file():
        return None
    used = json.loads(path.read_text())
    return round(used['user_s'] + used['sys_s'], 1)


def one_line(records: list[dict], run: tuple[int, float]) -> str:
    (record,) = (r for r in records if (r['seed'], r['share']) == run)
    regret = record['regret']
    return (
        f'seed {run[0]}, share {run[1]}: regret {regret["board_top1"]:.2f} by the old rule, '
        f'{regret["effects_veto"]:.2f} by the new one'
    )


def write_table(records: list[dict], page: Path) -> None:
    """Replace the marked part of the page."""
    if not records:
        print('no records')
        return
    table = '\n'.join([*table_of(records), '', *ranks_of(records)]).rstrip()
    write_between(page, (BEGIN, END), table, '# Ranking\n')
    print(table)


def table_of(records: list[dict]) -> list[str]:
    shares = sorted({r['share'] for r in records})
    lines = [
        '| regret in points, mean over seeds (each) | '
        + ' | '.join(map(str, shares))
        + ' | mean |',
        '|' + '---|' * (len(shares) + 2),
    ]
    for rule, label in RULES.items():
        if any(rule not in r['regret'] for r in records):
            continue  # of NASWOT, which not every run has
        cells, means = [], []
        for share in shares:
            values = [r['regret'][rule] for r in records if r['share'] == share]
            means.append(statistics.mean(values))
            each = ' '.join(f'{v:.2f}' for v in values)
            cells.append(f'{means[-1]:.2f}' + (f' ({each})' if len(set(values)) > 1 else ''))
        lines.append(f'| {label} | ' + ' | '.join(cells) + f' | {statistics.mean(means):.2f} |')
    networks, most = ({r['share']: r[key] for r in records} for key in ('networks', 'macs_m'))
    best = {r['share']: r['best'] for r in records}
    for label, values in (
        ('networks within the budget', networks),
        ('MMACs at 16 x 16 pixels', {k: f'{v:.2f}' for k, v in most.items()}),
        ('best true accuracy, %', {k: f'{v:.2f}' for k, v in best.items()}),
    ):
        lines.append(f'| {label} | ' + ' | '.join(str(values[s]) for s in shares) + ' | |')
    lines.append('')
    others = [(one, 'effects_veto') for one in ('board_top1', 'board', 'layers', 'macs', 'effects')]
    others += [('naswot', 'effects_veto'), ('effects_naswot', 'effects')]
    for one, other in others:
        if any(one not in r['regret'] for r in records):
            continue
        differences = [r['regret'][one] - r['regret'][other] for r in records]
        lines.append(
            f'* {RULES[one]}, less {RULES[other]}: {interval(differences)} points over '
            f'{len(differences)} runs'
        )
    return lines


def ranks_of(records: list[dict]) -> list[str]:
    """Table of what NASWOT adds to training effects; empty where no record has it."""
    records = [r for r in records if 'ranks' in r]
    if not records:
        return []
    lines = [
        '| share | networks | n | training effects | NASWOT | both | both less effects | runs |',
        '|' + '---|' * 8,
    ]
    for share in (*sorted({r['share'] for r in records}), None):
        for subset, label in SUBSETS.items():
            found = [r['ranks'][subset] for r in records if share in (None, r['share'])]
            found = [ranks for ranks in found if ranks['num'] >= LEAST]
            if not found:
                continue
            means = [f'{statistics.mean(r[name] for r in found):.3f}' for name in RANKED_BY]
            differences = [r['effects_naswot'] - r['effects'] for r in found]
            place = ('all', '') if share is None else (share, found[0]['num'])
            lines.append(
                f'| {place[0]} | {label} | {place[1]} | ' + ' | '.join(means)
                + f' | {interval(differences, 3)} | {len(found)} |'
            )  # fmt: skip
    return lines


def interval(values: list[float], digits: int = 2) -> str:
    """Mean and 95 % interval of Student's t."""
    mean = statistics.mean(values)
    if len(values) < 2 or len(set(values)) == 1:
        return f'{mean:+.{digits}f}'
    low, high = stats.t.interval(0.95, len(values) - 1, mean, stats.sem(values))
    return f'{mean:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]'


if __name__ == '__main__':
    with one_line_errors():
        main()
