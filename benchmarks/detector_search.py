"""What a detector's search found, beside random paths: each trained alone, on the demo's scenes.

python tools/train.py configs/demo/search_retinanet_digits.py --work-dir work_dirs/search
python benchmarks/detector_search.py work_dirs/search --out docs/results/detector_search.json
python benchmarks/detector_search.py work_dirs/search --out docs/results/detector_search.json \\
    --report docs/results/detector_search.md

Trained from scratch with configs/demo/retinanet_digits.py are the answer, the search's random
paths in the order in which they were drawn, the cheapest and the costliest: about five minutes each
on one core. One record is written as each training ends; the same command goes on with the next.
The validation scenes, which chose nothing, report.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from mmdet.evaluation import CocoMetric
from mmengine.registry import DefaultScope

from cream_mm.command_line import one_line_errors
from cream_mm.evaluation.bootstrap import coco_draws, image_weights
from cream_mm.files import read_json, write_json
from cream_mm.files.arch_file import read_arch_file

CONFIG = 'configs/demo/retinanet_digits.py'
FORMAT = 'cream_mm.detector_search/1'
ANNOTATIONS = Path('data/digit_scenes/annotations/instances_val2017.json')


def queue(search: Path, num_random: int) -> list[tuple[str, list]]:
    """What to train: the answer first, then references."""
    answer = read_arch_file(search / 'best_arch.json')['arch']
    rows = read_json(search / 'search.json')['rated']
    randoms = [row['arch'] for row in rows if row['source'] == 'random']
    front = read_json(search / 'front.json')['references']
    named = [
        (row['name'], row['arch']) for row in front if row['name'] in ('cheapest', 'costliest')
    ]
    numbered = [(f'random {i}', arch) for i, arch in enumerate(randoms[:num_random])]
    return [('answer', answer), *numbered, *named]


def train(search: Path, name: str, arch: list, seed: int) -> dict:
    """Train one detector from scratch; its record."""
    folder = search.parent / 'alone' / f'{name.replace(" ", "-")}-{seed}'
    folder.mkdir(parents=True, exist_ok=True)
    about = read_arch_file(search / 'best_arch.json')
    write_json(folder / 'arch.json', dict(about, arch=arch))
    command = [
        sys.executable, 'tools/train.py', CONFIG, '--work-dir', str(folder), '--resume',
        '--cfg-options', f'model.backbone.arch={folder}/arch.json',
        'model.backbone.init_cfg=None', f'randomness.seed={seed}',
        f'val_evaluator.outfile_prefix={folder}/val',
    ]  # fmt: skip
    start = time.time()
    with open(folder / 'train.log', 'ab') as log:
        done = subprocess.run(
            command, stdout=log, stderr=log, env=dict(os.environ, OMP_NUM_THREADS='1')
        )
    if done.returncode:
        raise ValueError(f'the training failed; its log is {folder / "train.log"}')
    metric, results = read_results(folder / 'val.bbox.json', ANNOTATIONS)
    value = metric.compute_metrics(results)['bbox_mAP']
    draws = coco_draws(metric, results, 'bbox_mAP', image_weights(len(results), 0))
    return dict(
        name=name, arch=arch, seed=seed, mAP=value, draws=[round(float(x), 5) for x in draws],
        seconds=round(time.time() - start),
    )  # fmt: skip


def read_results(path: Path, annotations: Path) -> tuple[CocoMetric, list]:
    """The detections of a validation, as mmdet's metric keeps them."""
    from pycocotools.coco import COCO

    coco = COCO(annotations)
    with DefaultScope.overwrite_default_scope('mmdet'):
        metric = CocoMetric(ann_file=str(annotations))
    metric.dataset_meta = dict(classes=[c['name'] for c in coco.dataset['categories']])
    label = {c['id']: i for i, c in enumerate(coco.dataset['categories'])}
    found: dict[int, list] = {image: [] for image in sorted(coco.imgs)}
    for box in json.loads(path.read_text()):
        found[box['image_id']].append(box)
    results = []
    for image, boxes in found.items():
        corners = np.array([b['bbox'] for b in boxes], dtype=float).reshape(-1, 4)
        corners[:, 2:] += corners[:, :2]
        results.append(({}, dict(
            img_id=image, bboxes=corners, scores=np.array([b['score'] for b in boxes]),
            labels=np.array([label[b['category_id']] for b in boxes], dtype=int),
        )))  # fmt: skip
    return metric, results


def report(content: dict) -> str:
    """The records as a table in Markdown, with the answer less each of the others."""
    records = content['records']
    answer = next(r for r in records if r['name'] == 'answer')
    lines = [
        '| path | MMACs | mAP alone | answer less it, 95 % by images | mAP in the supernet |',
        '|---|---|---|---|---|',
    ]
    for r in records:
        less = np.array(answer['draws']) - np.array(r['draws'])
        low, high = np.quantile(less, (0.025, 0.975))
        difference = answer['mAP'] - r['mAP']
        told = '' if r is answer else f'{difference:+.3f} [{low:+.3f}, {high:+.3f}]'
        rated = '' if r['rated'] is None else f'{r["rated"]:.3f}'
        lines.append(f'| {r["name"]} | {r["macs_m"]:.2f} | {r["mAP"]:.3f} | {told} | {rated} |')
    randoms = [r for r in records if r['name'].startswith('random')]
    if len(randoms) > 1:
        values = np.array([r['mAP'] for r in randoms])
        mean = np.mean([r['draws'] for r in randoms], axis=0)
        low, high = np.quantile(np.array(answer['draws']) - mean, (0.025, 0.975))
        lines.append(
            f'\nThe answer less the mean of {len(randoms)} random paths: '
            f'{answer["mAP"] - values.mean():+.3f} [{low:+.3f}, {high:+.3f}] by the choice of '
            f'images; the random paths have a standard deviation of {values.std(ddof=1):.3f}.'
        )
    return '\n'.join(lines) + '\n'


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('search', type=Path, help='work_dir of the search')
    parser.add_argument('--num-random', type=int, default=6, help='default: %(default)s')
    parser.add_argument('--seed', type=int, default=0, help='of the trainings')
    parser.add_argument('--out', type=Path, required=True, help='the records, JSON')
    parser.add_argument('--report', type=Path, help='write the table there, and train nothing')
    args = parser.parse_args()
    content = read_json(args.out) if args.out.is_file() else dict(format=FORMAT, records=[])
    if args.report:
        head = args.report.read_text().split('<!-- table -->')[0] if args.report.is_file() else ''
        args.report.write_text(f'{head}<!-- table -->\n\n{report(content)}')
        print(report(content))
        return
    rated = {str(row['arch']): row for row in read_json(args.search / 'search.json')['rated']}
    todo = queue(args.search, args.num_random)
    for i, (name, arch) in enumerate(todo, start=1):
        done = {(r['name'], r['seed']) for r in content['records']}
        if (name, args.seed) in done:
            continue
        print(f'[{i}/{len(todo)}] {name} {arch}', flush=True)
        row = rated.get(str(arch), {})
        record = train(args.search, name, arch, args.seed)
        record.update(macs_m=row.get('macs_m'), rated=row.get('value'))
        content['records'].append(record)
        write_json(args.out, content)
        print(f'    mAP {record["mAP"]:.3f} in {record["seconds"]} s', flush=True)


if __name__ == '__main__':
    with one_line_errors():
        main()
