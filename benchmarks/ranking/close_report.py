"""From the records of close.py to the tables and figures of docs/results/close.md."""

import csv
from functools import cache
from pathlib import Path

import numpy as np
from scipy import stats

from cream_mm.spaces import NASBench201Space

COLUMN = 'cifar10-test'


@cache
def truth(table: Path, column: str = COLUMN, cells: str = 'arch') -> dict[str, float]:
    """Mean accuracy of each class of isomorphic cells, by its canonical cell."""
    space, found = NASBench201Space(), {}
    with open(table, newline='') as file:
        for row in csv.DictReader(file):
            arch = space.canonical(space.parse(row[cells]))
            found.setdefault(space.format(arch), []).append(float(row[column]))
    return {name: float(np.mean(values)) for name, values in found.items()}


@cache
def rated() -> list[str]:
    from close import rated_cells  # beside this file

    return rated_cells()


def tau(record: dict, point: dict, key: str, true: dict[str, float]) -> float:
    """Kendall's tau-b of a rating with the truth, over the rated cells; losses count downwards."""
    sign = -1.0 if key == 'loss' else 1.0
    scores = sign * np.array(point[key])
    return float(stats.kendalltau(scores, [true[cell] for cell in rated()]).statistic)


# ---- what needs no supernet ----------------------------------------------------------------------


def baselines(args) -> dict:
    """Scores of the rated cells by their plan alone, untrained, and fitted to the truth.

    Returns:
        dict: ``scores`` by name, of each rated cell; ``seconds`` of what takes time.
    """
    import time

    from close import METHODS, ROOT, SETTINGS, rated_archs, space_of, with_pairs
    from mmengine.registry import DATASETS, MODELS, init_default_scope

    from cream_mm.config.load import load_config
    from cream_mm.costs import build_cost_model
    from cream_mm.evaluation.proxies import naswot_images, naswot_scores
    from cream_mm.search import MainEffects

    space, archs = space_of(args.setting), rated_archs(space_of(args.setting))
    published = NASBench201Space()
    costs = build_cost_model(published, input_size=32, num_classes=10, head_channels=0)
    cells = [published.parse(published.format(arch)) for arch in archs]
    units = [costs.cost(cell).in_units() for cell in cells]
    convs = [
        sum(op in (2, 3) for op, live in zip(space.encode(a), space.live_edges(a)) if live)
        for a in archs
    ]
    scores = dict(
        params=[u['params_m'] for u in units], macs=[u['macs_m'] for u in units], convs=convs
    )
    true, names = truth(args.table), rated()
    every = [published.parse(name) for name in true]
    values = [true[published.format(arch)] for arch in every]
    for name, spell in (('fitted_edges', lambda arch: arch), ('fitted_pairs', with_pairs)):
        fit = MainEffects([spell(arch) for arch in every], values)
        scores[name] = fit.predict([spell(cell) for cell in cells]).tolist()
    short = args.table.with_name('nasbench201_12epoch.csv')
    if short.is_file():
        found = truth(short, COLUMN, 'cellstr')
        scores['12 epochs'] = [found[name] for name in names]

    init_default_scope('mmpretrain')
    options = dict(data_root=str(args.data / f'cifar10_{SETTINGS[args.setting]["pixels"]}'))
    cfg = load_config(str(ROOT / f'configs/ranking/{METHODS["vanilla"]}.py'), options)
    model, data = MODELS.build(cfg.model), DATASETS.build(cfg.test_cfg.bn_dataset)
    seconds = {}
    connected = [i for i, arch in enumerate(archs) if any(space.live_edges(arch))]
    for seed in range(3):
        images, start = naswot_images(data, model.data_preprocessor, 32, seed), time.process_time()
        nets = naswot_scores(
            [archs[i] for i in connected], space, images, seed, build=model.backbone.build_network
        )
        seconds[f'naswot {seed}'] = round(time.process_time() - start, 1)
        scored = dict(zip(connected, nets))
        # An output that is zero tells no two images apart.
        lowest = min(nets) - 1.0
        scores[f'naswot {seed}'] = [scored.get(i, lowest) for i in range(len(archs))]
    scores = {name: [round(float(v), 5) for v in column] for name, column in scores.items()}
    return dict(scores=scores, seconds=seconds)
