"""What do strategies find with equally many ratings? NAO's latent space against the others.

  python benchmarks/ranking/nao_regret.py                          # what is missing of 150 searches
  python benchmarks/ranking/nao_regret.py --strategies random evolution nsga2   # seconds
  python benchmarks/ranking/nao_regret.py --seeds 20 21 --records /tmp/others.json
  python benchmarks/ranking/nao_regret.py --report                 # from the records alone

A search asks for one network after the other, 200 in all, and is told what it asked for:

* `macro`: the true accuracy of NAS-Bench-Macro's 3969 networks (data/nas-bench-macro_cifar10.json);
* `nb201`: that of NAS-Bench-201's trainable classes of isomorphic cells, column cifar10-test
  (data/nasbench201_200epoch.csv);
* `supernet`: the cross entropy that each of the 3969 has in one trained supernet, rated once and
  kept in docs/results/nao_regret_ratings.json; to rate another one, see --ratings.

Regret: the accuracy of the best network of the whole space, less that of the network that had the
best score among those told so far. No budget. On `supernet` the score is a rating, so the regret
is that of what a search would answer with, and never falls to zero by luck.

The settings below were fixed before any of these searches was made, at the scale of 200 ratings:
all begin with 20 random networks, those of `random` but for NSGA-II, and then have generations of
20 (NAO: of 30, a fit of the controller each). A search writes its record when it ends, and is not
made again. Seeds and tables are all that a search depends on.
"""

import argparse
import json
import time
from pathlib import Path

import torch
from nao_report import write_regret  # this and the next are beside this file
from run import ROOT

from cream_mm.command_line import one_line_errors
from cream_mm.costs import Budget, build_cost_model
from cream_mm.evaluation import AccuracyTable
from cream_mm.files import write_json, write_whole
from cream_mm.methods.nao_v2.nao_search import NAOSearch
from cream_mm.search.strategies import (
    NSGA2,
    MainEffectsSearch,
    RandomSearch,
    RegularizedEvolution,
    Strategy,
)
from cream_mm.spaces import MBConvSpace, NASBench201Space

FORMAT = 'cream_mm.nao_regret/1'
NUM = 200  # ratings of a search
BENCHMARKS = ('macro', 'nb201', 'supernet')
STRATEGIES = dict(
    random=(RandomSearch, {}),
    evolution=(RegularizedEvolution, dict(population=20, tournament=5)),
    nsga2=(NSGA2, dict(population=20)),
    effects=(MainEffectsSearch, dict(num_random=20)),
    nao=(NAOSearch, dict(num_initial=20, num_new=30, num_seeds=20, epochs=1000)),
)


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--benchmarks', nargs='+', choices=BENCHMARKS, default=list(BENCHMARKS))
    parser.add_argument('--strategies', nargs='+', choices=STRATEGIES, default=list(STRATEGIES))
    parser.add_argument('--seeds', type=int, nargs='+', default=list(range(10)))
    parser.add_argument('--data', type=Path, default=ROOT / 'data', help='default: data/')
    parser.add_argument('--records', type=Path, default=ROOT / 'docs/results/nao_regret.json')
    parser.add_argument('--ratings', type=Path, help='rank_correlation.json of all networks, by '
                        'tools/rank_correlation.py without --num: kept for `supernet`')  # fmt: skip
    parser.add_argument('--report', action='store_true', help='search nothing')
    return parser.parse_args(argv)


def main(argv=None) -> None:
    args = parse_args(argv)
    ratings = ROOT / 'docs/results/nao_regret_ratings.json'
    if args.ratings is not None:
        keep_ratings(args.ratings, ratings)
        return
    records = read_records(args.records)
    known = {(r['benchmark'], r['strategy'], r['seed']) for r in records}
    missing = [
        (benchmark, name, seed)
        for benchmark in args.benchmarks
        for seed in args.seeds
        for name in args.strategies
        if (benchmark, name, seed) not in known
    ]
    if args.report:
        missing = []
    torch.set_num_threads(1)
    problems = {}
    for done, (benchmark, name, seed) in enumerate(missing):
        if benchmark not in problems:
            problems[benchmark] = Problem(benchmark, args.data, ratings)
        record = search(problems[benchmark], name, seed)
        records = read_records(args.records)  # another process may have added its own
        records.append(dict(benchmark=benchmark, strategy=name, seed=seed, **record))
        records.sort(
            key=lambda r: (r['benchmark'], list(STRATEGIES).index(r['strategy']), r['seed'])
        )
        write_records(args.records, records)
        print(f'[{done + 1}/{len(missing)}] {benchmark} {name} {seed}: regret '
              f'{record["curve"][-1][1]:.3f}, {record["cpu_s"]:.1f} CPU s', flush=True)  # fmt: skip
    write_regret(records, args.records.with_name('nao_v2.md'))


def read_records(path: Path) -> list[dict]:
    """One of each (benchmark, strategy, seed), see :func:`search`."""
    if not path.is_file():
        return []
    content = json.loads(path.read_text())
    if content.get('format') != FORMAT:
        raise ValueError(f'{path} is not of format {FORMAT}')
    return content['runs']


def place_of(record: dict) -> tuple:
    return record['benchmark'], list(STRATEGIES).index(record['strategy']), record['seed']


def write_records(path: Path, records: list[dict]) -> None:
    """One a line: there are many."""
    lines = ',\n'.join(map(json.dumps, records))
    write_whole(path, f'{{"format": "{FORMAT}", "runs": [\n{lines}\n]}}\n'.encode())


class Problem:
    """Networks with what a search is told of them, and their true accuracy.

    Attributes:
        score (dict): By canonical network; higher is better.
        truth (dict): Accuracy in percent, likewise.
        best (float): The highest accuracy of a network that a search may ask for.
    """

    def __init__(self, benchmark: str, data: Path, ratings: Path):
        if benchmark == 'nb201':
            self.space = NASBench201Space()
            costs = build_cost_model(self.space, 32, 10)
            table = AccuracyTable(data / 'nasbench201_200epoch.csv', costs, 'cifar10-test')
        else:
            self.space = MBConvSpace.build('nas_bench_macro')
            costs = build_cost_model(self.space, 32, 10, 0)
            table = AccuracyTable(data / 'nas-bench-macro_cifar10.json', costs)
        self.budget = Budget(costs)
        rows = [row for row in table.rows if self.space.is_trainable(row.arch)]
        self.truth = {self.space.canonical(row.arch): row.accuracy for row in rows}
        self.score = self.truth
        if benchmark == 'supernet':
            losses = json.loads(ratings.read_text())['losses']
            self.score = {
                arch: -losses[self.space.format(arch)] for arch in self.truth
            }  # fmt: skip
        self.best = max(self.truth.values())


def search(problem: Problem, name: str, seed: int, num: int = NUM) -> dict:
    """One search; asks for one network at a time.

    Returns:
        dict: ``curve``: ``[number of ratings, regret in points]`` where the regret changes, and
        at the end; ``settings`` of the strategy; ``cpu_s``; ``best``, the last answer.
    """
    kind, settings = STRATEGIES[name]
    begin = time.process_time()
    strategy: Strategy = kind(problem.space, problem.budget, seed=seed, **settings)
    curve, best, asked = [], None, 0
    canonical = problem.space.canonical
    while asked < num and (archs := strategy.ask(1)):
        (arch,) = archs
        key = canonical(arch)
        score = problem.score[key]
        strategy.tell([arch], [score])
        asked += 1
        if best is None or score > problem.score[best]:
            best = key
        regret = round(problem.best - problem.truth[best], 4)
        if not curve or regret != curve[-1][1]:
            curve.append([asked, regret])
    curve.append([asked, curve[-1][1]])
    return dict(
        curve=curve,
        best=problem.space.format(best),
        settings=settings,
        cpu_s=round(time.process_time() - begin, 1),
    )


def keep_ratings(source: Path, path: Path) -> None:
    """Cross entropies of all networks of a trained supernet, by canonical network."""
    content, space = json.loads(source.read_text()), MBConvSpace.build('nas_bench_macro')
    losses = {}
    for point in content['points']:
        arch = space.validate(space.parse(point['arch']))
        losses[space.format(space.canonical(arch))] = round(-point['loss'], 5)
    write_json(
        path,
        dict(
            format='cream_mm.nao_regret_ratings/1',
            config=Path(content['config']).name,
            num_images=content['num_images'],
            bn_policy=content['bn_policy'],
            kendall={k: v['loss']['kendall']['value'] for k, v in content['subsets'].items()},
            losses=dict(sorted(losses.items())),
        ),
    )


if __name__ == '__main__':
    with one_line_errors():
        main()
