"""Search a trained supernet: rate paths that a strategy proposes, and write the best one.

  python tools/search.py configs/cream/search_imagenet.py work_dirs/search_imagenet/epoch_120.pth \\
      --strategy evolution --num 500 --work-dir work_dirs/search_imagenet/evolution

Strategies: board (Cream's own: the paths of its board), random, evolution (regularized), nsga2
(all trade-offs of rating and MACs; needs pymoo), main_effects (what each choice adds, fitted to
the ratings; picks by the fit, for supernets whose single ratings are noisy), training_effects (the
same, fitted to the path_log.jsonl that the training wrote: ranks best in docs/results/ranking.md,
and as nothing has to be rated for it, --num 11 is enough; ratings only veto). Scores are minus the
cross entropy on held-out images. The budget is the config's. Into the work-dir go search.json (all
rated paths and the trade-offs among them) and best_arch.json, which tools/export_arch.py takes. The
same command after a kill goes on where it was.
"""

import argparse
import os.path as osp
import shlex
import time

from mmengine.config import DictAction

from cream_mm.apis import open_search
from cream_mm.command_line import clear_errors
from cream_mm.evaluation import sampling_notes
from cream_mm.files import write_json
from cream_mm.files.answer_file import answer_content, rating_content
from cream_mm.registry import TASK_UTILS
from cream_mm.search import training_effects_until

STRATEGIES = dict(
    board='BoardPick',
    random='RandomSearch',
    evolution='RegularizedEvolution',
    nsga2='NSGA2',
    main_effects='MainEffectsSearch',
    training_effects='MainEffectsSearch',
)
SEARCH_FORMAT = 'cream_mm.search/1'


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config of the search')
    parser.add_argument('checkpoint', help='checkpoint of the search')
    parser.add_argument('--strategy', choices=STRATEGIES, default='evolution')
    parser.add_argument('--num', type=int, default=500, help='paths to rate (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='of the strategy')
    parser.add_argument('--population', type=int, help='of evolution and nsga2')
    parser.add_argument(
        '--path-log',
        metavar='FILE',
        help='for training_effects; default: path_log.jsonl beside the checkpoint',
    )
    parser.add_argument('--num-images', type=int, help="images to rate on; default: the config's")
    parser.add_argument('--bn-policy', choices=['recalibrate', 'batch_stats'])
    parser.add_argument(
        '--work-dir', help='default: a folder beside the checkpoint, named by the strategy'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='override config values, e.g. budget.macs_m=[300,400]',
    )
    return parser.parse_args(argv)


def main(argv=None) -> None:
    args = parse_args(argv)
    if args.num < 1:
        raise ValueError(f'--num is at least 1; got {args.num}')
    beside = osp.join(osp.dirname(args.checkpoint), args.strategy)
    work_dir = args.work_dir or beside
    given = dict(num_images=args.num_images, bn_policy=args.bn_policy)
    with open_search(args.config, args.checkpoint, work_dir, args.cfg_options) as loop:
        strategy = build_strategy(args, loop)
        evaluator = loop.build_evaluator(**{k: v for k, v in given.items() if v is not None})
        ratings = search(strategy, evaluator, args.num)
        write(args, work_dir, loop, strategy, ratings, evaluator)


def build_strategy(args, loop):
    space, budget = loop.model.backbone.space, loop.model.budget
    settings = {}
    if args.strategy == 'board':
        settings['archs'] = loop.paths_of_the_board()
    elif args.strategy == 'training_effects':
        settings['known'] = training_effects_until(args.checkpoint, space, args.path_log)
    elif args.population is not None and args.strategy in ('evolution', 'nsga2'):
        settings['population'] = args.population
    kind = f'cream_mm.{STRATEGIES[args.strategy]}'
    return TASK_UTILS.build(dict(settings, type=kind, space=space, budget=budget, seed=args.seed))


def search(strategy, evaluator, num: int) -> dict:
    """Rate ``num`` paths, fewer if there are no more; paths rated before come from the record.

    Returns:
        dict[Arch, Rating]: In the order in which they were asked for. Their score is minus the
        cross entropy, which is finer than counting hits.
    """
    ratings, start, fresh = {}, time.time(), 0
    while len(ratings) < num:
        archs = strategy.ask(1)
        if not archs:
            print(f'no path is left to rate within {strategy.budget}')
            break
        fresh += evaluator.log.get(archs[0]) is None
        (rating,) = evaluator.rate_all(archs, lambda *_: None)
        ratings[archs[0]] = rating
        strategy.tell(archs, [-rating.loss])
        eta = (time.time() - start) / max(fresh, 1) * (num - len(ratings))
        newest, best = strategy.scored[-1], strategy.best()
        print(
            f'[{len(ratings)}/{num}] cross entropy {-newest.score:.4f}, top-1 '
            f'{rating.top1_pct:.2f} %, {newest.cost_m:.2f} MMACs; best {-best.score:.4f}, '
            f'{best.cost_m:.2f} MMACs  eta: {int(eta) // 60}:{int(eta) % 60:02d}',
            flush=True,
        )
    return ratings


def write(args, work_dir, loop, strategy, ratings, evaluator) -> None:
    if not ratings:
        raise ValueError(f'nothing was rated: strategy {args.strategy!r} has no path to propose')
    model = loop.model

    def record(item):
        costs, rating = model.cost_model.cost(item.arch).in_units(), ratings[item.arch]
        macs, params = costs['macs_m'], costs['params_m']
        return dict(arch=item.arch.to_list(), macs_m=macs, params_m=params,
                    top1_pct=rating.top1_pct, loss=rating.loss)  # fmt: skip

    best, rule, notes = strategy.best(), 'given', []
    if args.strategy == 'training_effects':  # asked for in the order of their effects
        rule, (best, notes) = 'effects', loop.pick_by_effects(list(ratings), ratings)
        best = next(item for item in strategy.scored if item.arch == best)
    rating = ratings[best.arch]
    others = [ratings[arch] for arch in ratings if arch != best.arch]
    notes += sampling_notes([rating, *others], evaluator.largest_class_pct)
    content = dict(
        format=SEARCH_FORMAT,
        strategy=args.strategy,
        settings=strategy.settings,
        config=args.config,
        checkpoint=args.checkpoint,
        budget=model.budget.to_dict(),
        num_images=rating.num_images,
        bn_policy=evaluator.description,
        best=record(best),
        front=[record(item) for item in strategy.front()],
        rated=[record(item) for item in strategy.scored],
    )
    write_json(osp.join(work_dir, 'search.json'), content)
    steps, runner = loop.next_steps, loop.runner
    answer = answer_content(
        model, best.arch, runner.cfg, rating=rating_content(rating, evaluator.description),
        choice=dict(rule=rule, notes=notes), seed=runner.seed, next_steps=steps,
    )  # fmt: skip
    path = osp.join(work_dir, 'best_arch.json')
    write_json(path, answer)
    for note in notes:
        print(f'note: {note}')
    export = ['python', 'tools/export_arch.py', path, '--checkpoint', args.checkpoint]
    export = shlex.join([*export, '--out', osp.join(work_dir, 'export')])
    print(
        f'Best path: {best.arch}  top-1 {rating.top1_pct:.2f} % on {rating.num_images} held-out '
        f'images, {best.cost_m:.2f} MMACs. Go on with\n  {export}'
    )


if __name__ == '__main__':
    with clear_errors():
        main()
