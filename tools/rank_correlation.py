"""Does a supernet rank networks as training each alone does? Correlate it with a table.

  python tools/rank_correlation.py configs/cream/search_imagenet.py SUPERNET.pth TABLE.csv \\
      --num 500 --budgets 300 400
  python tools/rank_correlation.py configs/cream/search_imagenet.py TABLE.csv --ratings SCORES.csv

TABLE has the accuracy of networks trained alone: a CSV with the header
arch,accuracy[,macs_m,params_m], where arch is a nested or a flat list in double quotes, or a digit
per layer; or NAS-Bench-Macro's JSON; or accuracy.csv of tools/train_paths.py. Rated are NUM random
networks of it, the cheapest and the costliest. Into the folder OUT go rank_correlation.json and
scatter.png; ratings.jsonl there lets the same command go on after a kill. What needs no training
stands beside the ratings as scores of their own: MACs, parameters, the number of layers that are no
identity, and NASWOT, which looks at each network untrained and takes a tenth of a second for a
small one. A supernet that ranks no better than they do has taught nothing about ranks.
"""

import argparse
import os.path as osp
import time

from mmengine.config import DictAction
from mmengine.registry import DATASETS, MODELS, init_default_scope

from cream_mm.apis import open_search
from cream_mm.command_line import clear_errors
from cream_mm.config.load import load_config
from cream_mm.evaluation import AccuracyTable, RankReport, naswot_images, naswot_scores
from cream_mm.files import PATH_LOG, write_json
from cream_mm.search import MainEffects, combined, training_effects_until
from cream_mm.spaces import MBConvSpace
from cream_mm.structures.randomness import named_rng

LABELS = dict(
    combined='main effects of ratings and of training losses, standard deviations',
    main_effects='main effects of - cross entropy in the supernet, nats',
    training='main effects of - training loss, nats',
    loss='- cross entropy in the supernet, nats',
    top1='top-1 in the supernet, %',
)


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config of the search')
    parser.add_argument('checkpoint', nargs='?', help='supernet; left out with --ratings')
    parser.add_argument('table', help='.csv or .json of true accuracies')
    parser.add_argument(
        '--ratings', metavar='FILE', help='scores instead of a supernet: .csv, .json or .jsonl'
    )
    parser.add_argument('--num', type=int, help='random networks to rate; default: the whole table')
    parser.add_argument('--seed', type=int, default=0, help='of the sample and the bootstrap')
    parser.add_argument(
        '--extremes',
        action=argparse.BooleanOptionalAction,
        default=True,
        help='rate the cheapest and the costliest network beside the random ones (default: yes)',
    )
    parser.add_argument(
        '--budgets',
        type=float,
        nargs='+',
        default=[],
        metavar='MMACS',
        help='pick the best within each; default: quartiles of the table',
    )
    parser.add_argument(
        '--above',
        type=float,
        nargs='+',
        default=[],
        metavar='ACCURACY',
        help='also correlate networks of at least this accuracy',
    )
    parser.add_argument(
        '--without',
        nargs='+',
        default=[],
        metavar='CHOICE',
        help="also correlate networks without a choice: 'identity', or an index",
    )
    parser.add_argument('--bn-policy', choices=['recalibrate', 'batch_stats'])
    parser.add_argument(
        '--score',
        choices=LABELS,
        help='what the plot, and "score" in the tables, stand for; the others stand beside it, by '
        'name. top1: accuracy. loss: cross entropy, which is finer. main_effects: of the '
        'cross entropy, which are less noisy. training: main effects of the losses in '
        "the training's path_log.jsonl, the default where there is that file; else main_effects. "
        'combined: the sum of both',
    )
    parser.add_argument(
        '--path-log', metavar='FILE', help='default: path_log.jsonl beside the checkpoint'
    )
    parser.add_argument('--num-images', type=int, help="images to rate on; default: the config's")
    parser.add_argument(
        '--naswot',
        action=argparse.BooleanOptionalAction,
        default=True,
        help="also score each network untrained, on 32 of the config's training images (default: "
        'yes, where they are here)',
    )
    parser.add_argument('--resamples', type=int, default=1000, help='of the bootstrap')
    parser.add_argument('--out', metavar='DIR', help='default: beside the checkpoint or the table')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE')
    args = parser.parse_intermixed_args(argv)
    if (args.checkpoint is None) == (args.ratings is None):
        parser.error('give either a checkpoint, CONFIG CHECKPOINT TABLE, or --ratings FILE')
    return args


def main(argv=None) -> None:
    args = parse_args(argv)
    beside = osp.dirname(args.checkpoint or args.table)
    out = args.out or osp.join(beside, 'rank_correlation')
    about = dict(config=args.config, table=args.table, seed=args.seed)
    if args.ratings:
        model, images = build_model(args)
        table = read(args.table, model)
        scored = {model.backbone.space.canonical(row.arch): row.accuracy
                  for row in read(args.ratings, model).rows}  # fmt: skip
        rows = [row for row in table.rows if model.backbone.space.canonical(row.arch) in scored]
        rows = sample(rows, args)
        given = [scored[model.backbone.space.canonical(row.arch)] for row in rows]
        scorings = dict(given=given, main_effects=smoothed(rows, given))
        main, label = 'given', 'score'
        about.update(ratings=args.ratings)
    else:
        given = dict(num_images=args.num_images, bn_policy=args.bn_policy)
        given = {k: v for k, v in given.items() if v is not None}
        with open_search(args.config, args.checkpoint, out, args.cfg_options) as loop:
            model, images = loop.model, loop.bn_dataset
            table = read(args.table, model)
            rows = sample(table.rows, args)
            evaluator = loop.build_evaluator(**given)
            ratings = rate(evaluator, rows)
        losses = [-rating.loss for rating in ratings]
        scorings = dict(
            main_effects=smoothed(rows, losses),
            loss=losses,
            top1=[rating.top1_pct for rating in ratings],
        )
        path_log = find_path_log(args)
        if path_log is not None:
            training = training_effects_until(args.checkpoint, model.backbone.space, path_log)
            scorings['training'] = training.predict([row.arch for row in rows]).tolist()
            both = combined(scorings['main_effects'], scorings['training'])
            scorings['combined'] = both.tolist()
            about.update(training_loo_error=training.loo_error)
        main = args.score or ('training' if path_log else 'main_effects')
        about.update(
            checkpoint=args.checkpoint,
            path_log=path_log,
            bn_policy=evaluator.description,
            num_images=ratings[0].num_images,
        )
        label = LABELS[main]
    about.update(score=main)
    scores = scorings.pop(main)
    naswot = rate_untrained(model, images, rows, args) if args.naswot else None
    report = RankReport(
        scores, rows, table.rows, model.backbone.space, budgets=args.budgets, above=args.above,
        without=args.without, others=scorings, naswot=naswot, num_resamples=args.resamples,
        seed=args.seed,
    )  # fmt: skip
    points = [
        dict(arch=row.arch.to_list(), score=scores[i], accuracy=row.accuracy, macs_m=row.macs_m,
             params_m=row.params_m, **{name: values[i] for name, values in scorings.items()},
             **({} if naswot is None else dict(naswot=naswot[i])))
        for i, row in enumerate(rows)
    ]  # fmt: skip
    content = dict(report.to_dict(), **about, notes=table.notes, points=points)
    write_json(osp.join(out, 'rank_correlation.json'), content)
    report.plot(osp.join(out, 'scatter.png'), score_label=label)
    print(f'\n{report.text()}\n\nwritten: {osp.join(out, "rank_correlation.json")}, scatter.png')


def smoothed(rows, scores) -> list[float]:
    """See :class:`MainEffects`; unchanged where one score makes no fit."""
    if len(rows) < 2:
        return list(scores)
    archs = [row.arch for row in rows]
    return MainEffects(archs, scores).predict(archs).tolist()


def find_path_log(args) -> str | None:
    """The file to read training losses from; None if there is none and none is asked for."""
    path = args.path_log or osp.join(osp.dirname(args.checkpoint), PATH_LOG)
    needed = args.path_log or args.score in ('combined', 'training')
    return path if needed or osp.isfile(path) else None


def build_model(args):
    """The supernet without weights, for its space and costs; its training images, if any."""
    images = None
    try:
        cfg = load_config(args.config, args.cfg_options)  # the data decides on the classes
        images = (cfg.get('test_cfg') or {}).get('bn_dataset')
    except FileNotFoundError:
        cfg = load_config(args.config, args.cfg_options, check_data=False)
        print(f'note: the data is not here; costs are for num_classes={cfg.get("num_classes")}')
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    model = MODELS.build(cfg.model)
    if not getattr(model.backbone, 'shares_weights', False):
        raise ValueError(f'{args.config} is not the config of a search')
    return model, images


def read(path, model) -> AccuracyTable:
    table = AccuracyTable(path, model.backbone.budget.cost_model)
    for note in table.notes:
        print(f'note: {path}: {note}')
    return table


def sample(rows, args) -> list:
    """``args.num`` random rows, with the cheapest and the costliest, cheapest first."""
    if args.num is None or args.num >= len(rows):
        return rows
    rng = named_rng('rank_correlation', args.seed, 0)
    chosen = set(rng.permutation(len(rows))[: args.num].tolist())
    if args.extremes:
        macs = [row.macs_m for row in rows]
        chosen |= {macs.index(min(macs)), macs.index(max(macs))}
    return [rows[i] for i in sorted(chosen)]


def rate(evaluator, rows) -> list:
    archs = [row.arch for row in rows]
    known = sum(evaluator.log.get(arch) is not None for arch in archs)
    print(f'rating {len(archs)} networks; {known} were rated before')
    return evaluator.rate_all(archs, progress_of(len(rows), every=10))


def rate_untrained(model, images, rows, args) -> list[float] | None:
    """NASWOT on training images under the test pipeline; None if there are no images."""
    if images is None:
        print('note: no NASWOT beside the scores: the images are not here')
        return None
    print(f'NASWOT of {len(rows)} networks; --no-naswot leaves it out')
    dataset = DATASETS.build(images)
    images = naswot_images(dataset, model.data_preprocessor, seed=args.seed)
    archs, supernet = [row.arch for row in rows], model.backbone
    build = None if isinstance(supernet.space, MBConvSpace) else supernet.export
    progress = progress_of(len(rows), every=100)
    return naswot_scores(archs, supernet.space, images, args.seed, progress, build)


def progress_of(total: int, every: int):
    """Prints how far a list is and how long the rest takes."""
    start, done = time.time(), 0

    def progress(*_) -> None:
        nonlocal done
        done += 1
        if done % every == 0 or done == total:
            eta = (time.time() - start) / done * (total - done)
            print(f'[{done}/{total}] eta: {int(eta) // 60}:{int(eta) % 60:02d}', flush=True)

    return progress


if __name__ == '__main__':
    with clear_errors():
        main()
