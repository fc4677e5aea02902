"""Does drawing large networks more often rank better? NAO-V2's sampler on NAS-Bench-Macro.

  python benchmarks/ranking/nao.py            # 6 seeds of both samplers, 15 minutes of a core each
  python benchmarks/ranking/nao.py --pilot    # how many images cost the same; 3 minutes
  python benchmarks/ranking/nao.py --report   # part of docs/results/nao_v2.md from the records

configs/ranking/nao.py draws from a pool of 1000 networks in proportion to their weights, and
nao_uniform.py from the same pool uniformly. Networks drawn in proportion are larger, and a step of
theirs costs more: the uniform run sees more images, so that both take the same CPU seconds. How
many more was fixed beforehand by --pilot, from the cost of single steps and the pools of the six
seeds; what the runs then took stands in their records. Runs are those of run.py, in its file.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from mmengine.registry import DATASETS, MODELS, init_default_scope
from nao_report import write_samplers  # this and the next are beside this file
from run import ROOT, Records, image_folder, prepare, run_all

from cream_mm.command_line import one_line_errors
from cream_mm.config.load import load_config
from cream_mm.files import read_json, write_json
from cream_mm.methods.nao_v2.size_proportional_sampler import SizeProportionalSampler
from cream_mm.structures.randomness import named_rng

FORMAT = 'cream_mm.nao_pilot/1'
METHODS = ('nao', 'nao_uniform')
SEEDS = range(6)
PILOT_STEPS = 400


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--seeds', type=int, nargs='+', default=list(SEEDS))
    parser.add_argument('--jobs', type=int, default=2, help='runs at a time, one thread each')
    parser.add_argument('--data', type=Path, default=ROOT / 'data', help='default: data/')
    parser.add_argument('--work-dir', type=Path, default=ROOT / 'work_dirs/ranking')
    parser.add_argument('--records', type=Path, default=ROOT / 'docs/results/ranking.json')
    parser.add_argument('--pilot-record', type=Path, default=ROOT / 'docs/results/nao_pilot.json')
    parser.add_argument('--pilot', action='store_true', help='measure steps, train nothing')
    parser.add_argument('--report', action='store_true', help='run nothing')
    args = parser.parse_args(argv)
    args.setting, args.cfg_options = 'cpu', []
    return args


def main(argv=None) -> None:
    args = parse_args(argv)
    if args.pilot:
        write_json(args.pilot_record, dict(format=FORMAT, **pilot(args)))
        return
    records = Records(args.records)
    runs = [
        dict(setting='cpu', method=name, seed=seed) for seed in args.seeds for name in METHODS
    ]  # pair by pair
    missing = [run for run in runs if not records.has(run)]
    if missing and not args.report:
        prepare(args)
        run_all(missing, args, records)
    pilot_record = read_json(args.pilot_record)
    write_samplers(records.all(), pilot_record, args.pilot_record.with_name('nao_v2.md'))


def pilot(args) -> dict:
    """What a step costs, by MACs and layers of its network; and the networks of both samplers.

    Returns:
        dict: ``steps``; ``fit``: CPU seconds of a step = constant + by GMAC + by layer;
        ``pools``: of each seed the mean ``macs_m`` and ``layers`` that each sampler draws, exact;
        ``ratio``: of the costs of a step, of each seed; ``measured``: mean seconds of the steps.
    """
    torch.set_num_threads(1)
    cfg = load_config(
        str(ROOT / 'configs/ranking/spos.py'), dict(data_root=str(image_folder(args)))
    )
    init_default_scope('mmpretrain')
    torch.manual_seed(100)
    model = MODELS.build(cfg.model).train()
    model.init_weights()
    space, budget = model.backbone.space, model.backbone.budget
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    images = DATASETS.build(cfg.train_dataloader.dataset)
    rng = named_rng('nao_pilot', 0, 0)
    samplers = [
        SizeProportionalSampler(space, budget, seed=100, proportional_to=of)
        for of in ('params_m', None)
    ]
    columns, seconds = [], []
    for step in range(-20, PILOT_STEPS):
        chosen = rng.integers(len(images), size=128)
        arch = samplers[step % 2].sample(step + 20)
        begin = time.process_time()
        items = [images[int(i)] for i in chosen]
        data = {key: [item[key] for item in items] for key in ('inputs', 'data_samples')}
        model.backbone.set_arch(arch)
        losses = model(**model.data_preprocessor(data, True), mode='loss')
        optimizer.zero_grad()
        sum(value for name, value in losses.items() if 'loss' in name).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        if step >= 0:  # the first pay for the allocator
            seconds.append(time.process_time() - begin)
            columns.append(row_of(arch, space, budget.cost_model))
    weights, *_ = np.linalg.lstsq(np.array(columns), np.array(seconds), rcond=None)
    pools = [pool_means(space, budget, seed) for seed in SEEDS]
    costs = [{k: float(np.dot(row, weights)) for k, row in means.items()} for means in pools]
    return dict(
        steps=len(seconds),
        fit=dict(zip(('constant_s', 'per_gmac_s', 'per_layer_s'), weights.tolist())),
        measured=[float(np.mean(seconds[i::2])) for i in range(2)],
        pools=[
            {k: dict(macs_m=1e3 * row[1], layers=row[2]) for k, row in means.items()}
            for means in pools
        ],
        ratio=[c['nao'] / c['nao_uniform'] for c in costs],
    )


def row_of(arch, space, cost_model) -> tuple[float, float, float]:
    """(1, GMACs, layers that are no identity)."""
    return 1.0, cost_model.cost(arch).macs / 1e9, float(space.count_layers(arch))


def pool_means(space, budget, seed: int) -> dict[str, np.ndarray]:
    """Expectation of :func:`row_of` over the draws of each sampler."""
    sampler = SizeProportionalSampler(space, budget, seed=seed)
    rows = np.array([row_of(arch, space, budget.cost_model) for arch in sampler.pool])
    return dict(nao=sampler.probabilities @ rows, nao_uniform=rows.mean(axis=0))


if __name__ == '__main__':
    with one_line_errors():
        main()
