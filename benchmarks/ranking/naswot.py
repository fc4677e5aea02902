"""What ranks the 3969 networks of NAS-Bench-Macro without a supernet: baselines, and ceilings.

  python benchmarks/ranking/naswot.py            # NASWOT with three seeds; 6 minutes of a core each

A seed draws 32 training images, of the side that a supernet trains on and as its configuration
shows them (16 x 16 pixels, no augmentation), and the weights. No label is read. Scores go into
work_dirs as they are made, so that the same command goes on after a kill; a seed that is done goes
into docs/results/naswot.json, and is not rated again.

Beside the scores there stand, for all networks and for those that run.py rates, the correlations
of MACs, parameters, the number of layers that are no identity and NASWOT with the accuracy; and
how far a ranking can get: one training of each network against its others, and main effects fitted
to the true accuracies. `run.py --report` makes tables of them, and `regret.py` uses the scores.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from mmengine.registry import DATASETS, MODELS, init_default_scope
from run import ROOT, image_folder, prepare  # beside this file

from cream_mm.command_line import one_line_errors
from cream_mm.config.load import load_config
from cream_mm.evaluation import AccuracyTable, compare, correlation, num_layers
from cream_mm.evaluation.proxies import naswot_images, naswot_indices, naswot_scores
from cream_mm.files import append_lines, mend_lines, read_json_lines, write_json
from cream_mm.search import MainEffects
from cream_mm.structures.randomness import named_rng

FORMAT = 'cream_mm.naswot/1'
CONFIG = ROOT / 'configs/ranking/spos.py'
NUM_IMAGES = 32


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--data', type=Path, default=ROOT / 'data', help='default: data/')
    parser.add_argument('--work-dir', type=Path, default=ROOT / 'work_dirs/ranking/naswot')
    parser.add_argument('--records', type=Path, default=ROOT / 'docs/results/naswot.json')
    args = parser.parse_args(argv)
    args.setting = 'cpu'
    return args


def main(argv=None) -> None:
    args = parse_args(argv)
    records = read_records(args.records)
    missing = [seed for seed in args.seeds if seed not in [r['seed'] for r in records]]
    print(f'{len(records)} seeds are in {args.records}, {len(missing)} are to be rated')
    prepare(args)
    cfg = load_config(str(CONFIG), dict(data_root=str(image_folder(args))))
    init_default_scope('mmpretrain')
    model = MODELS.build(cfg.model)
    dataset = DATASETS.build(cfg.test_cfg.bn_dataset)
    table = args.data / 'nas-bench-macro_cifar10.json'
    rows = AccuracyTable(table, model.backbone.budget.cost_model).rows
    archs = [row.arch for row in rows]
    for seed in missing:
        records.append(rate(archs, model, dataset, seed, args.work_dir / f'{seed}.jsonl'))
        records.sort(key=lambda record: record['seed'])
        write_json(args.records, dict(format=FORMAT, runs=records))
    ceilings = dict(
        trainings=trainings_of(table, model.backbone.space),
        effects=MainEffects(archs, [row.accuracy for row in rows]),
    )
    sets = {
        name: correlations([rows[i] for i in chosen], model.backbone.space, records, **ceilings)
        for name, chosen in (('all', range(len(rows))), ('rated', rated_by_run(rows)))
    }
    write_json(args.records, dict(format=FORMAT, sets=sets, runs=records))


def read_records(path: Path) -> list[dict]:
    """What each seed's record holds, see :func:`rate`; none where there is no file."""
    if not path.is_file():
        return []
    content = json.loads(path.read_text())
    if content.get('format') != FORMAT:
        raise ValueError(f'{path} is not of format {FORMAT}')
    return content['runs']


def rate(archs: list, model, dataset, seed: int, log: Path) -> dict:
    """Score all networks with one draw of images and weights, but those that ``log`` has."""
    space = model.backbone.space
    names = [space.format(space.canonical(arch)) for arch in archs]
    log.parent.mkdir(parents=True, exist_ok=True)
    known = {}
    if log.is_file():
        mend_lines(log)
        known = {record['arch']: record for _, record in read_json_lines(log)}
    rest = [i for i, name in enumerate(names) if name not in known]
    images = naswot_images(dataset, model.data_preprocessor, NUM_IMAGES, seed)
    begin, last = time.time(), time.process_time()

    def progress(turn: int, score: float) -> None:
        nonlocal last
        used, last = time.process_time() - last, time.process_time()
        record = dict(arch=names[rest[turn]], score=round(score, 4), cpu_s=round(used, 4))
        known[record['arch']] = record
        append_lines(log, [json.dumps(record)])
        if (turn + 1) % 200 == 0 or turn + 1 == len(rest):
            eta = int((time.time() - begin) / (turn + 1) * (len(rest) - turn - 1))
            done = f'{len(known)}/{len(names)}'
            print(f'seed {seed} [{done}] eta: {eta // 60}:{eta % 60:02d}', flush=True)

    naswot_scores([archs[i] for i in rest], space, images, seed, progress)
    chosen = naswot_indices(len(dataset), NUM_IMAGES, seed)
    paths = (Path(dataset.get_data_info(i)['img_path']).parts[-2:] for i in chosen)
    return dict(
        seed=seed,
        pixels=images.shape[-1],
        images=['/'.join(parts) for parts in paths],
        cpu_s=round(sum(record['cpu_s'] for record in known.values()), 1),
        scores={name: known[name]['score'] for name in names},
    )


def rated_by_run(rows) -> list[int]:
    """The networks of all records of run.py: those of `rank_correlation.py --num 500`."""
    macs = [row.macs_m for row in rows]
    drawn = named_rng('rank_correlation', 0, 0).permutation(len(rows))[:500].tolist()
    return sorted({*drawn, macs.index(min(macs)), macs.index(max(macs))})


def trainings_of(table: Path, space) -> dict[str, list[float]]:
    """The accuracies of all trainings of each network: three for each way to write it."""
    trainings: dict[str, list[float]] = {}
    for text, entry in json.loads(table.read_text()).items():
        name = space.format(space.canonical(space.parse(text)))
        trainings.setdefault(name, []).extend(entry['test_acc'])
    return trainings


def correlations(
    rows,
    space,
    records: list[dict],
    trainings: dict[str, list[float]],
    effects: MainEffects,
    num_resamples: int = 1000,
) -> dict:
    """By subset of the networks: how baselines and ceilings correlate with the accuracy.

    Args:
        rows (list[TableRow]): The networks.
        space (MBConvSpace): Their space.
        records (list[dict]): Of the seeds of NASWOT; the first has intervals.
        trainings (dict[str, list[float]]): See :func:`trainings_of`.
        effects (MainEffects): Fitted to the true accuracies.
        num_resamples (int): Of the bootstrap. Defaults to 1000.

    Returns:
        dict[str, dict]: As in rank_correlation.json: ``num``, and by score what
        :func:`cream_mm.evaluation.compare` gives. ``one_training`` is the first training of each
        network, against the mean of its others. ``naswot_seeds`` has tau of each seed.
    """
    names = [space.format(space.canonical(row.arch)) for row in rows]
    archs = [row.arch for row in rows]
    truth = np.array([row.accuracy for row in rows])
    layers = np.array([num_layers(arch, space) for arch in archs], dtype=float)
    seeds = [np.array([record['scores'][name] for name in names]) for record in records]
    scorings = dict(
        macs=np.array([row.macs_m for row in rows]),
        params=np.array([row.params_m for row in rows]),
        layers=layers,
        naswot=seeds[0],
        fitted_effects=effects.predict(archs),
    )
    first = np.array([trainings[name][0] for name in names])
    others = np.array([np.mean(trainings[name][1:]) for name in names])
    masks = {
        'all': truth > -1,
        'accuracy >= 90': truth >= 90,
        'accuracy >= 92': truth >= 92,
        'without identity': layers == space.num_layers,
    }
    subsets, settings = {}, dict(num_resamples=num_resamples)
    for subset, mask in masks.items():
        part = {name: scores[mask] for name, scores in scorings.items()}
        subsets[subset] = dict(
            num=int(mask.sum()),
            **compare(part, truth[mask], baselines=['macs', 'params', 'layers'], **settings),
            **compare(dict(one_training=first[mask]), others[mask], **settings),
            naswot_seeds=[correlation(scores[mask], truth[mask])['kendall'] for scores in seeds],
        )
    return subsets


if __name__ == '__main__':
    with one_line_errors():
        main()
