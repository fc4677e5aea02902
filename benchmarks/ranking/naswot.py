"""Rates the 3969 networks of NAS-Bench-Macro untrained, by NASWOT: a baseline without a supernet.

  python benchmarks/ranking/naswot.py            # three seeds; 6 minutes of one core each

A seed draws 32 training images, of the side that a supernet trains on and as its configuration
shows them (16 x 16 pixels, no augmentation), and the weights. No label is read. Scores go into
work_dirs as they are made, so that the same command goes on after a kill; a seed that is done goes
into docs/results/naswot.json, and is not rated again. The tables are those of run.py --report.
"""

import argparse
import json
import time
from pathlib import Path

from mmengine.registry import DATASETS, MODELS, init_default_scope
from run import ROOT, image_folder, prepare  # beside this file

from cream_mm.config import load_config
from cream_mm.evaluation import AccuracyTable
from cream_mm.evaluation.proxies import naswot_images, naswot_indices, naswot_scores
from cream_mm.files import mend_lines, read_json_lines
from cream_mm.utils import append_lines, clear_errors, write_json

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
    if not missing:
        return
    prepare(args)
    cfg = load_config(str(CONFIG), dict(data_root=str(image_folder(args))))
    init_default_scope('mmpretrain')
    model = MODELS.build(cfg.model)
    dataset = DATASETS.build(cfg.test_cfg.bn_dataset)
    rows = AccuracyTable(args.data / 'nas-bench-macro_cifar10.json', model.cost_model).rows
    archs = [row.arch for row in rows]
    for seed in missing:
        records.append(rate(archs, model, dataset, seed, args.work_dir / f'{seed}.jsonl'))
        records.sort(key=lambda record: record['seed'])
        write_json(args.records, dict(format=FORMAT, runs=records))


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


if __name__ == '__main__':
    with clear_errors():
        main()
