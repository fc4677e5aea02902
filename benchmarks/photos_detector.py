"""Does the search of a detector's backbone on photographs pay? docs/results/photos_detector.md.

  python benchmarks/photos_detector.py --list      # what is there, and what is missing
  python benchmarks/photos_detector.py --all       # run what is missing, one run after the other
  python benchmarks/photos_detector.py --next      # the next run alone
  python benchmarks/photos_detector.py --only found lower-size --seed 1
  python benchmarks/photos_detector.py --page      # the table of docs/results/photos_detector.md

The search (configs/photos/search_detector.py) runs first. Then each backbone is exported from its
supernet and trained by the exported config, all alike, with two seeds: what was found at 70 % of
Lite0's multiply-adds, Lite0 itself, Lite0 on smaller images, and two random slices of that cost.
Each run adds one line to docs/results/photos_detector.jsonl when it ends. All goes on after a kill.
Two processes may run beside each other: none takes a run that the other has.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cream_mm.command_line import one_line_errors
from cream_mm.files import Dropped, read_json_lines, write_json

ROOT = Path(__file__).resolve().parents[1]
CONFIG = 'configs/photos/search_detector.py'
FORMAT = 'cream_mm.photos_detector/1'
LOW, SHARE = 0.4, 0.7  # of Lite0's multiply-adds: what the search may propose
SMALLER = 240 / 288
"""Of the side of the images: at 240 Lite0 costs 0.72 of what it does at 288, to the favour of this
reference; its next smaller multiple of 16, 224, costs 0.60."""
NAMES = ('found', 'full', 'lower-size', 'random-1', 'random-2')
SEEDS = (0, 1)
PAGE = ROOT / 'docs/results/photos_detector.md'


class Runs:
    """The runs and their records."""

    def __init__(self, args: argparse.Namespace):
        self.records, self.home = args.records, args.work_dir
        self.data, self.epochs, self.options = args.data, args.epochs, args.options
        self.search_options = args.search_options
        every = [('search', 0), *((name, seed) for seed in SEEDS for name in NAMES)]
        self.chosen = [
            (name, seed)
            for name, seed in every
            if (not args.only or name in args.only) and args.seed in (None, seed)
        ]

    def read(self) -> dict[tuple[str, int], dict]:
        """Records by name and seed; the last one counts."""
        if not self.records.is_file():
            return {}
        lines = read_json_lines(self.records, Dropped())
        return {(record['name'], record['seed']): record for _, record in lines}

    def missing(self) -> list[tuple[str, int]]:
        """What has no record yet."""
        there = self.read()
        return [run for run in self.chosen if run not in there]

    def next(self) -> bool:
        """Run the first that is missing and that no other process has; whether there was one."""
        from cream_mm.engine.work_dir_lock import hold_work_dir, release_work_dir

        for name, seed in self.missing():
            if name != 'search' and not (self.home / 'search.done').is_file():
                continue
            lock = self.home / 'locks' / f'{name}-{seed}'
            try:
                hold_work_dir(lock)
            except ValueError:
                continue
            try:
                if (name, seed) not in self.missing():
                    continue  # the other process has just ended it
                left = len(self.missing())
                print(f'[{len(self.chosen) - left + 1}/{len(self.chosen)}] {name}, seed {seed}',
                      flush=True)  # fmt: skip
                self._add(self._run(name, seed))
            finally:
                release_work_dir(lock)
            return True
        return False

    def _add(self, record: dict) -> None:
        from photos import add_record

        add_record(self.records, self.home / 'records-lock', record)
        told = f', mAP {record["mAP"]:.3f}' if 'mAP' in record else ''
        print(f'    {record["minutes"]:.1f} minutes, {record["cpu_s"]:.0f} CPU s{told}', flush=True)

    def _run(self, name: str, seed: int) -> dict:
        from cream_mm.apis.compare import cpu_seconds

        start, cpu = time.time(), cpu_seconds()
        said = self._search() if name == 'search' else self._train(name, seed)
        return dict(
            format=FORMAT, name=name, seed=seed, **said, cpu_s=round(cpu_seconds() - cpu, 1),
            minutes=round((time.time() - start) / 60, 2),
            threads=os.environ.get('OMP_NUM_THREADS', 'all'),
        )  # fmt: skip

    def _search(self) -> dict:
        from cream_mm.apis.train_paths import tool
        from cream_mm.files.arch_file import read_arch_file

        work_dir = self.home / 'search'
        whole = _lite0_macs()
        budget = f'budget.macs_m=[{LOW * whole:.2f},{SHARE * whole:.2f}]'
        resumed = (work_dir / 'last_checkpoint').exists()
        tool('train', CONFIG, '--work-dir', work_dir, '--resume', '--cfg-options',
             f'data_root={self.data}/', budget, *self.search_options,
             log=self.home / 'search.log')  # fmt: skip
        (self.home / 'search.done').write_text('its work directory is whole\n')
        about = read_arch_file(work_dir / 'best_arch.json')
        return dict(
            arch=about['slice_of']['arch'], macs_m=about['costs']['macs_m'],
            rating=about['rating'], resumed=resumed,
        )  # fmt: skip

    def _train(self, name: str, seed: int) -> dict:
        from cream_mm.apis.train_paths import tool

        folder = self.home / f'{name}-seed{seed}'
        config, told = self._export(name, folder)
        options = list(self.options)
        if name == 'lower-size':
            side = told['side']
            # Batches are padded to multiples of 16, not 32, which 240 is none of.
            options += [f'scale=[{side},{side}]', 'model.data_preprocessor.pad_size_divisor=16']
        run, resumed = folder / 'train', (folder / 'train/last_checkpoint').exists()
        tool('train', config, '--work-dir', run, '--resume', '--cfg-options',
             f'data_root={self.data}/', f'max_epochs={self.epochs}',
             f'train_cfg.val_interval={self.epochs}',
             f'randomness.seed={seed}', f'val_evaluator.outfile_prefix={run}/val', *options,
             log=folder / 'train.log')  # fmt: skip
        return dict(told, epochs=self.epochs, resumed=resumed, **measured(run))

    def _export(self, name: str, folder: Path) -> tuple[Path, dict]:
        """The config that trains a backbone from its slice of the supernet, and what it is."""
        from cream_mm.apis.export_arch import export_arch
        from cream_mm.apis.reference_networks import Slice, full, random_paths
        from cream_mm.checkpoints.whole_file import latest_checkpoint
        from cream_mm.costs import build_cost_model
        from cream_mm.files.arch_file import arch_content, read_arch_file
        from cream_mm.files.slice_of import slice_content
        from cream_mm.spaces import ElasticSpace

        search = self.home / 'search'
        about = read_arch_file(search / 'best_arch.json')
        space = ElasticSpace.build(about['slice_of']['space'])
        size = about['input_size']
        costs = build_cost_model(space, size, head=None)
        if name == 'found':
            one = Slice(space, space.parse(about['slice_of']['arch']))
        elif name.startswith('random'):
            one = random_paths(space, costs, SHARE, 2)[int(name[-1]) - 1]
        else:
            one = full(space)
        arch, table = costs.network(one.arch)
        content = {**about, **arch_content(arch, table), **slice_content(costs, one.arch)}
        content.update(rating={}, choice=None)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / 'answer.json', content)
        with open(folder / 'export.log', 'a') as log:
            files = export_arch(
                str(folder / 'answer.json'), str(latest_checkpoint(search)),
                str(folder / 'export'), root=str(ROOT), say=lambda line: print(line, file=log),
            )  # fmt: skip
        side = size[0]
        if name == 'lower-size':
            side = round(side * SMALLER)
            table = build_cost_model(costs.network(one.arch)[1].space, side, head=None)
        macs = table.cost(arch).in_units()['macs_m']
        return files['retrain'], dict(
            arch=one.arch.to_list(), side=side, macs_m=macs, share=round(macs / _macs(costs), 4)
        )


def _macs(costs) -> float:
    return costs.cost(costs.space.full_path).in_units()['macs_m']


def _lite0_macs() -> float:
    """Of the backbone at the config's size."""
    from mmengine.config import Config

    from cream_mm.costs import build_cost_model
    from cream_mm.models.backbones.published import published_nets

    arch, space = published_nets['lite0'].network()
    size = Config.fromfile(ROOT / CONFIG).scale[::-1]
    return build_cost_model(space, size, head=None).cost(arch).in_units()['macs_m']


def measured(run: Path) -> dict:
    """What the last validation of a training found, and what the choice of images makes of it."""
    sys.path.insert(0, str(ROOT / 'benchmarks'))
    from detector_search import read_results

    from cream_mm.evaluation.bootstrap import coco_draws, image_weights
    from cream_mm.files import read_json

    metric, results = read_results(run / 'val.bbox.json', run / 'annotations/val.json')
    values = metric.compute_metrics(results)
    draws = coco_draws(metric, results, 'bbox_mAP', image_weights(len(results), 0))
    parts = read_json(run / 'part_costs.json')['parts']
    return dict(
        num_images=len(results),
        mAP=values.get('bbox_mAP', 0.0), mAP_50=values.get('bbox_mAP_50', 0.0),  # none: no boxes
        draws=[round(float(value), 5) for value in draws],
        whole_macs_m=round(parts['whole']['macs_m'], 2), ms=parts['whole']['ms'],
    )  # fmt: skip


# ---- the page ------------------------------------------------------------------------------------


def table(records: dict[tuple[str, int], dict]) -> str:
    """The records in Markdown: each network, and the found one less it, paired over images."""
    seeds = [seed for seed in SEEDS if ('found', seed) in records]
    head = '| backbone | side | MMACs, backbone | whole | share |'
    head += ''.join(f' mAP, seed {seed} |' for seed in seeds)
    lines = [head + ' found less it, 95 % by images |', '|---' * (6 + len(seeds)) + '|']
    for name in NAMES:
        mine = {seed: records[name, seed] for seed in seeds if (name, seed) in records}
        if not mine:
            continue
        first = next(iter(mine.values()))
        line = f'| {name} | {first["side"]} | {first["macs_m"]:.0f} | {first["whole_macs_m"]:.0f} |'
        line += f' {first["share"]:.2f} |'
        line += ''.join(f' {mine[s]["mAP"]:.3f} |' if s in mine else ' |' for s in seeds)
        told = ''
        if name != 'found':
            low, high, mean = difference(records, name, list(mine))
            told = f'{mean:+.3f} [{low:+.3f}, {high:+.3f}]'
            told += ', not decided' if low <= 0 <= high else ''
        lines.append(f'{line} {told} |')
    minutes = [r['minutes'] for (name, _), r in records.items() if name != 'search']
    cpu = [r['cpu_s'] for (name, _), r in records.items() if name != 'search']
    lines.append('')
    if ('search', 0) in records:
        search = records['search', 0]
        lines.append(f'The search took {search["cpu_s"] / 60:.0f} CPU minutes.')
    if minutes:
        lines.append(f'A training takes {np.mean(cpu) / 60:.0f} CPU minutes.')
    return '\n'.join(lines) + '\n'


def difference(records: dict, name: str, seeds: list[int]) -> tuple[float, float, float]:
    """Ends of the interval, and the mean, of the found network's mAP less another one's.

    Of each draw of images the mean over the seeds is taken: the interval is of the images, and
    says nothing of other seeds.
    """
    less = [
        np.subtract(records['found', seed]['draws'], records[name, seed]['draws']) for seed in seeds
    ]
    low, high = np.quantile(np.mean(less, axis=0), (0.025, 0.975))
    mean = np.mean([records['found', s]['mAP'] - records[name, s]['mAP'] for s in seeds])
    return float(low), float(high), float(mean)


def listing(runs: Runs) -> Iterator[str]:
    """A line for each run."""
    there = runs.read()
    for name, seed in runs.chosen:
        record = there.get((name, seed))
        said = 'missing' if record is None else f'{record["minutes"]:6.1f} min'
        if record is not None and 'mAP' in record:
            said += f'  mAP {record["mAP"]:.3f}  mAP50 {record["mAP_50"]:.3f}'
        yield f'{name:11s} seed {seed}  {said}'


def write_page(records: dict) -> str:
    """Put the table into the page, below its words; the table."""
    mark = '<!-- table -->'
    head = PAGE.read_text().split(mark)[0] if PAGE.is_file() else ''
    text = table(records)
    PAGE.write_text(f'{head}{mark}\n\n{text}')
    return text


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument('--all', action='store_true', help='run all that is missing')
    what.add_argument('--next', action='store_true', help='run one that is missing')
    what.add_argument('--list', action='store_true', help='print what is there')
    what.add_argument('--page', action='store_true', help='write the table from the records')
    parser.add_argument('--only', nargs='+', metavar='NAME', help=f'search, {", ".join(NAMES)}')
    parser.add_argument('--seed', type=int, help='default: both')
    parser.add_argument('--epochs', type=int, default=24, help='of each training')
    parser.add_argument('--data', type=Path, default=ROOT / 'data/cards')
    parser.add_argument('--work-dir', type=Path, default=ROOT / 'work_dirs/photos_detector')
    parser.add_argument('--records', type=Path, default=ROOT / 'docs/results/photos_detector.jsonl')
    parser.add_argument('--search-options', nargs='+', default=[], metavar='KEY=VALUE')
    parser.add_argument(
        '--options', nargs='+', default=[], metavar='KEY=VALUE', help='of each training'
    )
    args = parser.parse_args(argv)
    args.data, args.work_dir = args.data.resolve(), args.work_dir.resolve()
    return args


def main(argv=None) -> None:
    args = parse_args(argv)
    runs = Runs(args)
    if args.page:
        return print(write_page(runs.read()))
    if args.list:
        return print('\n'.join(listing(runs)))
    while runs.next() and args.all:
        pass
    left = len(runs.missing())
    print(f'{left} runs are missing' if left else 'all runs are there')


if __name__ == '__main__':
    with one_line_errors():
        main()
