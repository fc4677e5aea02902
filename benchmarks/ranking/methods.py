"""All ways to train a supernet side by side, on NAS-Bench-Macro: docs/results/methods.md.

  python benchmarks/ranking/methods.py                      # what is missing, run by run
  python benchmarks/ranking/methods.py --rows fairnas       # of one row
  python benchmarks/ranking/methods.py --list               # what is missing, and make nothing
  python benchmarks/ranking/methods.py --report             # tables and figure from the records

A row of the page is a way to train; its runs are those of run.py and dna.py, each 15 to 40 minutes
of one core, in ranking.json and dna.json. Of each row one run has its CPU seconds and its peak
memory measured; where no record has them, as records of before have not, its first seed is made
anew, and that record stands in methods.json, beside the old one. All goes on after a kill.

The score by which a row ranks was named beforehand: training effects where there is a log of the
training, DNA the sum of its blocks' ratings. Regret is that of the network which the score puts
first within each budget (shares of regret.py), the cheaper one on a tie.
"""

import argparse
import json
from pathlib import Path

import dna  # this and the next are beside this file
import numpy as np
from dna_report import Table, missed
from methods_report import ROWS, write_report
from regret import SHARES
from run import ROOT, Records, complete, prepare, run_all

from cream_mm.command_line import one_line_errors
from cream_mm.files import write_json

FORMAT = 'cream_mm.methods/1'
SEEDS = dict(spos=6, fairnas=6, cream=3, fair_cream=6, dna=3, nao=3)


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--rows', nargs='+', choices=ROWS, default=list(ROWS))
    parser.add_argument('--jobs', type=int, default=2, help='runs at a time, one thread each')
    parser.add_argument('--data', type=Path, default=ROOT / 'data', help='default: data/')
    parser.add_argument('--work-dir', type=Path, default=ROOT / 'work_dirs/ranking')
    parser.add_argument('--results', type=Path, default=ROOT / 'docs/results')
    parser.add_argument('--list', action='store_true', help='print what is missing')
    parser.add_argument('--report', action='store_true', help='run nothing')
    args = parser.parse_args(argv)
    args.setting, args.cfg_options, args.naswot = 'cpu', [], args.results / 'naswot.json'
    return args


def main(argv=None) -> None:
    args = parse_args(argv)
    args.again = args.results / 'methods.json'
    records = Records(args.results / 'ranking.json')
    if not args.report:
        runs, seeds = missing_runs(args, records)
        print('\n'.join(f'missing: {run["method"]} {run["seed"]}' for run in runs))
        again = missing_again(args, records)
        print('\n'.join(f'to be made anew for its costs: {row} 0' for row in again))
        if args.list:
            return
        prepare(args)
        for seed in seeds:
            dna.main(['--seeds', str(seed), '--records', str(args.results / 'dna.json'),
                      '--data', str(args.data), '--work-dir', str(args.work_dir)])  # fmt: skip
        run_all(runs, args, records)
        for row in again:
            make_again(row, args)
        complete(records, args)
        derive(args, records)
    write_report(args.results)


def missing_runs(args, records: Records) -> tuple[list[dict], list[int]]:
    """Runs of run.py, seed by seed, and seeds of dna.py, that have no record yet."""
    wanted = [
        dict(setting='cpu', method=row, seed=seed)
        for seed in range(max(SEEDS.values()))
        for row in args.rows
        if seed < SEEDS[row] and row != 'dna'
    ]
    known = {run['seed'] for run in dna.read_records(args.results / 'dna.json')['runs']}
    seeds = [seed for seed in range(SEEDS['dna']) if seed not in known and 'dna' in args.rows]
    return [run for run in wanted if not records.has(run)], seeds


def missing_again(args, records: Records) -> list[str]:
    """Rows of which no record, nor a run that is about to be made, has its costs."""
    content = read_content(args.again)
    made = {run['method'] for run in [*records.all(), *content['again']] if 'usage' in run}
    blocks = [*dna.read_records(args.results / 'dna.json')['runs'], *content['dna_again']]
    if any('peak_mb' in run for run in blocks):
        made.add('dna')
    made |= {run['method'] for run in missing_runs(args, records)[0]}
    return [row for row in args.rows if row not in made]


def read_content(path: Path) -> dict:
    """What docs/results/methods.json holds; see :func:`make_again` and :func:`derive`."""
    if not path.is_file():
        return dict(format=FORMAT, again=[], dna_again=[], regret=[])
    content = json.loads(path.read_text())
    if content.get('format') != FORMAT:
        raise ValueError(f'{path} is not of format {FORMAT}')
    return content


def make_again(row: str, args) -> None:
    """Seed 0 of a row once more, in a work directory of its own."""
    folder = args.work_dir / 'again'
    if row == 'dna':
        path = folder / 'dna.json'
        made = dna.parse_args(['--seeds', '0', '--data', str(args.data),
                               '--work-dir', str(folder), '--records', str(path)])  # fmt: skip
        record = dna.search(made, 0, dna.train_teacher(made, 0))
    else:
        path = folder / 'ranking.json'
        made = argparse.Namespace(**{**vars(args), 'work_dir': folder, 'jobs': 2})
        run_all([dict(setting='cpu', method=row, seed=0)], made, Records(path))
        (record,) = (run for run in Records(path).all() if run['method'] == row)
    take_again(args.again, record)


def take_again(path: Path, record: dict) -> None:
    """Put a record that was made again into methods.json."""
    content = read_content(path)
    kind = 'again' if 'method' in record else 'dna_again'
    key = ('method', 'seed') if kind == 'again' else ('seed',)
    others = [r for r in content[kind] if [r[k] for k in key] != [record[k] for k in key]]
    content[kind] = [*others, record]
    write_json(path, content)


def derive(args, records: Records) -> None:
    """What each run picks within the budgets: ``regret`` in methods.json, by share.

    From the effects in its record. Cream has them in regret.json, too, of its runs at share 1.0,
    which are trained as here: all networks are within their budget.
    """
    content, table = read_content(args.again), Table(args)
    cream = json.loads((args.results / 'regret.json').read_text())['runs']
    effects = {
        ('cream', run['seed']): run['effects']
        for run in cream
        if run['share'] == 1.0 and 'effects' in run
    }
    effects |= {
        (run['method'], run['seed']): run['effects']
        for run in [*content['again'], *records.all()]
        if 'effects' in run and run['method'] in ROWS and run['setting'] == 'cpu'
    }
    content['regret'] = [
        dict(method=method, seed=seed, regret=regret_of(weights, table))
        for (method, seed), weights in sorted(effects.items())
    ]
    write_json(args.again, content)


def regret_of(weights: dict[str, float], table: Table) -> dict[str, float]:
    """Points that the pick of some effects misses within each share of the budget."""
    score = np.array([
        sum(
            weights[f'{stage}.{layer}.{choice}']
            for stage, choices in enumerate(row.arch.stages, start=1)
            for layer, choice in enumerate(choices)
        )
        for row in table.rows
    ])  # fmt: skip
    return {
        str(share): round(missed(score, table.truth, table.macs, table.inside[share])[0], 4)
        for share in SHARES
    }


if __name__ == '__main__':
    with one_line_errors():
        main()
