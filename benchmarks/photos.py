"""Does the search on photographs pay? Found networks and the usual means: docs/results/photos.md.

  python benchmarks/photos.py --list               # what is there, and what is missing
  python benchmarks/photos.py --all                # run what is missing, one run after the other
  python benchmarks/photos.py --next               # the next run alone
  python benchmarks/photos.py --fold 0 --only found-50 full
  python benchmarks/photos.py --set cifar10 --all
  python benchmarks/photos.py --times              # latency of each network, alone on the machine
  python benchmarks/photos.py --page               # docs/results/photos.md from the records

A fold's search runs first, on the fold's training images alone; then its networks are trained, 12
epochs each, all by the exported retrain.py with the full network as teacher. "changes" is the
search without training of slices, and "untrained-50" what it found, taught by its own full network.
Each run adds one line to docs/results/photos.jsonl when it ends. All goes on after a kill. Two
processes may run beside each other, with OMP_NUM_THREADS=1 each: none takes a run that the other
has.

clothing: the photographs of train, val and test pooled, 3 stratified folds, 128 pixels. cifar10:
3,000 images of train, all 10,000 of test, scaled up from 32 to 96 pixels.
"""

import argparse
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from cream_mm.command_line import one_line_errors
from cream_mm.files import Dropped, append_lines, mend_lines, read_json_lines

ROOT = Path(__file__).resolve().parents[1]
CONFIG = 'configs/photos/search.py'
SPLIT_SEED = 0
CLASSES = 10  # of both sets
BUDGET = (0.3, 0.7)
"""Of the full network's MACs. The front has eight steps, so that one is 0.5 and one 0.7."""


class Setting(NamedTuple):
    """One set of images, and what is run on it."""

    folds: int
    input_size: int
    input_sizes: tuple[int, ...]  # choices of the search
    shares: tuple[float, ...]
    kinds: tuple[str, ...]  # at each share
    extras: tuple[str, ...] = ()  # in fold 0, when all others are there

    def runs(self) -> list[tuple[int, str]]:
        """(fold, name) of all, in their order."""
        found = []
        for fold in range(self.folds):
            at = [f'{kind}-{100 * share:g}' for share in self.shares for kind in self.kinds]
            found += [(fold, name) for name in ('search', 'teacher', 'full', *at)]
        return found + [(0, name) for name in self.extras]


USUAL = ('lower-size', 'narrower', 'shallower')
SEARCHES = dict(
    search=(),
    # Slices are not trained; the full network has as many epochs as in the other one.
    changes=('full_share=1', 'max_epochs=10', 'test_cfg.strategy.type=single_changes',
             'test_cfg.num=120'),
)  # fmt: skip
"""What each changes of the config."""
SETTINGS = dict(
    clothing=Setting(
        3, 128, (128, 112, 96), (0.5, 0.7), ('found', *USUAL, 'random-1', 'random-2'),
        ('linear-probe', 'mobilenet-v2', 'changes', 'untrained-50', 'untrained-70', 'scratch'),
    ),
    cifar10=Setting(1, 96, (96,), (0.5,), ('found', *USUAL)),
)  # fmt: skip


# ---- records -------------------------------------------------------------------------------------


class Records:
    """The lines of docs/results/photos.jsonl, by set, fold and name; the last one counts."""

    def __init__(self, path: Path, lock: Path | None = None):
        self.path, self.lock = path, lock or path.parent / '.lock'

    def read(self) -> dict[tuple[str, int, str], dict]:
        if not self.path.is_file():
            return {}
        found = {}
        for _, record in read_json_lines(self.path, Dropped()):
            found[record['set'], record['fold'], record['name']] = record
        return found

    def add(self, record: dict) -> None:
        add_record(self.path, self.lock, record)


def add_record(path: Path, lock: Path, record: dict) -> None:
    """One more line, while no other process writes one."""
    with alone(lock):
        if path.is_file():
            mend_lines(path)
        append_lines(path, [json.dumps(record, separators=(',', ':'))])


@contextmanager
def alone(place: Path) -> Iterator[None]:
    """Wait until no other process has a folder."""
    from cream_mm.engine.work_dir_lock import hold_work_dir, release_work_dir

    while True:
        try:
            hold_work_dir(place)
            break
        except ValueError:
            time.sleep(2)
    try:
        yield
    finally:
        release_work_dir(place)


# ---- images --------------------------------------------------------------------------------------


def make_data(name: str, setting: Setting, data: Path, out: Path) -> None:
    """``out/fold_K/{train,val}/<class>/``, links to images, or made ones; once."""
    if (out / 'done').is_file():
        return
    pooled = pooled_images(data / name) if name == 'clothing' else None
    if pooled is not None:
        parts = deal(pooled, setting.folds)
        for fold in range(setting.folds):
            for (label, link, file), part in zip(pooled, parts):
                side = 'val' if part == fold else 'train'
                place = out / f'fold_{fold}' / side / label / link
                place.parent.mkdir(parents=True, exist_ok=True)
                if not place.is_symlink():
                    place.symlink_to(file)
    else:
        scale_up(data / name, out / 'fold_0', setting.input_size)
    (out / 'done').write_text('all images are here\n')


def pooled_images(root: Path) -> list[tuple[str, str, Path]]:
    """(class, name of its own, file) of each image of train, val and test, sorted."""
    files = sorted(path for part in ('train', 'val', 'test') for path in (root / part).glob('*/*'))
    return sorted(
        (file.parent.name, f'{file.parts[-3]}_{file.name}', file.resolve()) for file in files
    )


def deal(pooled: list[tuple[str, str, Path]], folds: int) -> list[int]:
    """The fold that each image is tested in."""
    from cream_mm.datasets.split import fold_of

    classes = sorted({label for label, _, _ in pooled})
    labels = [(classes.index(label),) for label, _, _ in pooled]
    return fold_of(labels, folds, seed=SPLIT_SEED)


def scale_up(root: Path, out: Path, side: int, num_train: int = 3000) -> None:
    """A stratified draw of the training images, and all test images, in a larger size."""
    from PIL import Image

    from cream_mm.structures.randomness import named_rng

    classes = sorted(path.name for path in (root / 'train').iterdir())
    for part, target in (('train', 'train'), ('test', 'val')):
        for label, name in enumerate(classes):
            files = sorted((root / part / name).iterdir())
            if part == 'train':
                order = named_rng('photos draw', SPLIT_SEED, label).permutation(len(files))
                files = [files[i] for i in sorted(order[: num_train // len(classes)])]
            (out / target / name).mkdir(parents=True, exist_ok=True)
            for file in files:
                place = out / target / name / f'{file.stem}.png'
                if not place.is_file():
                    image = Image.open(file).convert('RGB')
                    image.resize((side, side), Image.Resampling.BICUBIC).save(place)


# ---- runs ----------------------------------------------------------------------------------------


class Runs:
    """The runs of one set."""

    def __init__(self, args: argparse.Namespace):
        self.name, self.setting = args.set, SETTINGS[args.set]
        self.home = args.work_dir / args.set
        self.records = Records(args.records, args.work_dir / 'records-lock')
        self.epochs = args.epochs
        self.search_options, self.train_options = args.search_options, args.train_options
        self.data = args.data
        self.chosen = [
            (fold, name)
            for fold, name in self.setting.runs()
            if (args.fold is None or fold == args.fold) and (not args.only or name in args.only)
        ]

    def missing(self) -> list[tuple[int, str]]:
        """What has no record yet."""
        there = self.records.read()
        return [run for run in self.chosen if (self.name, *run) not in there]

    def next(self) -> bool:
        """Run the first that is missing and that no other process has; whether there was one."""
        from cream_mm.engine.work_dir_lock import hold_work_dir, release_work_dir

        with alone(self.home / 'data'):
            make_data(self.name, self.setting, self.data, self.home / 'data')
        for fold, name in self.missing():
            needs = self.home / f'fold_{fold}' / f'{search_of(name)}.done'
            if name not in (*SEARCHES, 'linear-probe') and not needs.is_file():
                continue
            lock = self.home / f'fold_{fold}' / 'locks' / name
            try:
                hold_work_dir(lock)
            except ValueError:
                continue
            try:
                if (fold, name) not in self.missing():
                    continue  # the other process has just ended it
                self._say(fold, name)
                record = self._run(fold, name)
                self.records.add(dict(set=self.name, fold=fold, **record))
                top1 = f', top-1 {record["top1"]:.2f} %' if 'top1' in record else ''
                print(f'    {record["minutes"]:.1f} minutes{top1}', flush=True)
            finally:
                release_work_dir(lock)
            return True
        return False

    def _say(self, fold: int, name: str) -> None:
        there = [r for (s, _, _), r in self.records.read().items() if s == self.name]
        known = {kind: [r['minutes'] for r in there if (r['kind'] == 'search') == kind]
                 for kind in (True, False)}  # fmt: skip
        guess = {True: 50.0, False: 9.0}
        usual = {k: sum(v) / len(v) if v else guess[k] for k, v in known.items()}
        left = self.missing()
        minutes = sum(usual[other in SEARCHES] for _, other in left)
        done = len(self.chosen) - len(left)
        at = time.strftime('%H:%M', time.localtime(time.time() + 60 * minutes))
        print(f'[{done + 1}/{len(self.chosen)}] {self.name}, fold {fold}: {name}; all in about '
              f'{minutes / 60:.1f} h, at {at}, by one process', flush=True)  # fmt: skip

    def _run(self, fold: int, name: str) -> dict:
        folder = self.home / f'fold_{fold}'
        data = self.home / 'data' / f'fold_{fold}'
        threads = os.environ.get('OMP_NUM_THREADS', 'all')
        if name in SEARCHES:
            record = self._search(folder, data, name)
        elif name == 'linear-probe':
            from cream_mm.apis.linear_probe import probe_folder

            record = probe_folder(data, input_size=self.setting.input_size)
        else:
            from cream_mm.apis.compare import FinishedSearch, Trainer

            search = FinishedSearch(folder / search_of(name))
            trainer = Trainer(
                search, folder, root=ROOT, epochs=self.epochs, options=self.train_options
            )
            networks = search.networks(self.setting.shares, hold_to_found=False)
            theirs = name.replace('untrained', 'found')
            network = next(one for one in networks if one.name == theirs)
            record = trainer.run(network._replace(name=name))
        return dict(record, threads=threads)

    def _search(self, folder: Path, data: Path, name: str) -> dict:
        from cream_mm.apis.compare import FORMAT, cpu_seconds, settings_hash
        from cream_mm.apis.train_paths import tool

        work_dir, start, cpu = folder / name, time.time(), cpu_seconds()
        resumed = (work_dir / 'last_checkpoint').exists()
        low, high = (round(share * self._full_macs(), 4) for share in BUDGET)
        setting = self.setting
        sizes = ','.join(map(str, setting.input_sizes))
        options = [
            f'data_root={data}', f'input_size={setting.input_size}', f'input_sizes=[{sizes}]',
            f'budget.macs_m=[{low},{high}]', *SEARCHES[name], *self.search_options,
        ]  # fmt: skip
        tool('train', CONFIG, '--work-dir', work_dir, '--resume', '--cfg-options',
             *options, log=folder / f'{name}.log')  # fmt: skip
        (folder / f'{name}.done').write_text('its work directory is whole\n')
        text = (ROOT / CONFIG).read_text()
        return dict(
            format=FORMAT, name=name, kind='search', num_images=0, images='', hits='',
            losses=[], cpu_s=round(cpu_seconds() - cpu, 1),
            minutes=round((time.time() - start) / 60, 2), resumed=resumed,
            stages=stages(folder / f'{name}.log', start),
            settings=settings_hash(text, *options[1:]),
        )  # fmt: skip

    def _full_macs(self) -> float:
        from cream_mm.costs import build_cost_model
        from cream_mm.models.backbones.published import published_nets

        arch, space = published_nets['lite0'].network()
        costs = build_cost_model(space, self.setting.input_size, CLASSES)
        return costs.cost(arch).in_units()['macs_m']


def search_of(name: str) -> str:
    """The search that a network was found by, or is a reference of."""
    return 'changes' if name.startswith('untrained') else 'search'


def stages(log: Path, start: float) -> dict[str, float]:
    """Minutes of a search's stages, by the times in its log."""
    marks = dict(full='Full network: ', slices='Rated [1/')
    ends, lines = {}, log.read_text().splitlines()
    for name, mark in marks.items():
        line = next((one for one in lines if mark in one), None)
        if line is not None:
            ends[name] = time.mktime(
                time.strptime(f'{time.localtime(start).tm_year}/{line[:14]}', '%Y/%m/%d %H:%M:%S')
            )
    ends['choice'] = log.stat().st_mtime
    found, before = {}, start
    for name, end in ends.items():
        found[name] = round((end - before) / 60, 2)
        before = end
    return found


def table(runs: Runs) -> Iterator[str]:
    """A line for each run."""
    there = runs.records.read()
    for fold, name in runs.chosen:
        record = there.get((runs.name, fold, name))
        said = 'missing' if record is None else f'{record["minutes"]:6.1f} min'
        if record is not None and 'top1' in record:
            said += f'  top-1 {record["top1"]:5.2f} %  ce {record["ce"]:.4f}'
            if record.get('macs_m'):
                said += f'  {record["macs_m"]:.1f} MMACs  {record["input_size"]} px'
        yield f'{runs.name} fold {fold}  {name:14s} {said}'


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument('--all', action='store_true', help='run all that is missing')
    what.add_argument('--next', action='store_true', help='run one that is missing')
    what.add_argument('--list', action='store_true', help='print what is there')
    what.add_argument('--times', action='store_true', help='measure latencies')
    what.add_argument('--page', action='store_true', help='write the page from the records')
    parser.add_argument('--set', choices=SETTINGS, default='clothing')
    parser.add_argument('--fold', type=int, help='default: all')
    parser.add_argument('--only', nargs='+', metavar='NAME', help='e.g. search, full, found-50')
    parser.add_argument('--epochs', type=int, default=12, help='of each network')
    parser.add_argument('--data', type=Path, default=ROOT / 'data')
    parser.add_argument('--work-dir', type=Path, default=ROOT / 'work_dirs/photos')
    parser.add_argument('--records', type=Path, default=ROOT / 'docs/results/photos.jsonl')
    parser.add_argument('--search-options', nargs='+', default=[], metavar='KEY=VALUE')
    parser.add_argument('--train-options', nargs='+', default=[], metavar='KEY=VALUE')
    args = parser.parse_args(argv)
    args.data, args.work_dir = args.data.resolve(), args.work_dir.resolve()
    return args


def main(argv=None) -> None:
    args = parse_args(argv)
    if args.page:
        from photos_page import write_page

        return print(f'written: {write_page(Records(args.records).read(), args.records.parent)}')
    runs = Runs(args)
    if args.times:
        from photos_times import time_records

        out = args.records.parent
        return print(f'written: {time_records(runs.records.read(), runs.name, out, CLASSES)}')
    if args.list:
        return print('\n'.join(table(runs)))
    while runs.next() and args.all:
        pass
    left = len(runs.missing())
    print(f'{left} runs are missing' if left else 'all runs are there')


if __name__ == '__main__':
    with one_line_errors():
        main()
