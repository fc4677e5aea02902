"""How the slices of a network are trained best: one random path a step, or a sandwich?

  python benchmarks/elastic_training.py data/clothing --seconds 300
  python benchmarks/elastic_training.py data/clothing --only sandwich
  python benchmarks/elastic_training.py --page      # docs/results/elastic_training.md

The full network is fine-tuned once (full.pth). From it each way trains slices for the same CPU
seconds, with a whole cosine of its own: as many steps as fit, by a probe of a few. Then the same
paths are rated on the held-out images, half of them at 45 to 55 % of the full network's MACs, half
at 60 to 70 %. CPU seconds are the process's, which reads its images itself, on one thread: other
work on the machine does not count. One record a run in docs/results/elastic_training.json; what is
there is not run again.
"""

import argparse
import json
import os
import time
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / 'configs/photos/search.py'
RECORDS = ROOT / 'docs/results/elastic_training.json'
PAGE = RECORDS.with_suffix('.md')
SHARES = ((0.45, 0.55), (0.60, 0.70))  # of the full network's MACs
SHORT = 200  # CPU seconds of a way, below which the page says that it is a short one
WAYS = dict(
    random=dict(paths='random'),
    sandwich=dict(paths='sandwich', num_paths=1),
    sandwich2=dict(paths='sandwich', num_paths=2),
)
TITLES = dict(
    start='not trained',
    random='one random path a step',
    sandwich='sandwich: full, cheapest, one random',
    sandwich2='sandwich: full, cheapest, two random',
)


class Done(Exception):
    """The training was let go as far as it was to go."""


def main(argv=None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('data', nargs='?', help='folder with train/<class>/*.jpg')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/elastic_training'))
    parser.add_argument('--seconds', type=float, default=300, help='CPU seconds of each way')
    parser.add_argument('--full-epochs', type=int, default=10)
    parser.add_argument('--input-size', type=int, default=128)
    parser.add_argument('--paths', type=int, default=8, help='rated at each of both costs')
    parser.add_argument('--bn-images', type=int, default=512)
    parser.add_argument('--only', nargs='+', choices=WAYS, default=['random', 'sandwich'])
    parser.add_argument('--json', type=Path, default=RECORDS)
    parser.add_argument('--page', action='store_true', help='write the page from the records')
    args = parser.parse_args(argv)
    if args.data is not None:
        run(args)
    if args.page:
        page = args.json.with_suffix('.md')
        page.write_text(page_of(read(args.json)))
        print(f'written: {page}')


def run(args: argparse.Namespace) -> None:
    """All that is missing, one after the other."""
    full = args.work_dir / 'full' / 'full.pth'
    if 'full' not in read(args.json) or not full.is_file():
        train_full(args)
    for way in ('start', *args.only):
        if way not in read(args.json):
            train_slices(args, way, full)


def read(path: Path) -> dict[str, dict]:
    """The records by their names."""
    return json.loads(path.read_text()) if path.is_file() else {}


def note(path: Path, name: str, record: dict) -> None:
    from cream_mm.files import write_json

    write_json(path, {**read(path), name: record})
    told = {key: value for key, value in record.items() if key != 'paths'}
    print(f'{name}: {json.dumps(told)}', flush=True)


# ---- runs ----------------------------------------------------------------------------------------


def config(args, name: str, epochs: int, full_share: float, **train_cfg):
    """The search's config, with the images read by the process itself."""
    os.environ['OMP_NUM_THREADS'] = '1'
    from cream_mm.config import load_config

    options = dict(
        data_root=args.data, input_size=args.input_size, input_sizes=[args.input_size],
        num_workers=0, max_epochs=epochs, full_share=full_share,
    )  # fmt: skip
    cfg = load_config(str(CONFIG), options)
    cfg.work_dir = str(args.work_dir / name)
    cfg.train_cfg.update(rate_at_end=False, **train_cfg)
    cfg.default_hooks.checkpoint = dict(type='cream_mm.CheckpointHook', interval=1)
    cfg.test_cfg.update(num_bn_images=args.bn_images, num_images=None)
    return cfg


def runner_of(cfg, **hooks):
    """A runner, with functions that are called at points of its training."""
    from mmengine.hooks import Hook

    from cream_mm.engine import Runner

    runner = Runner.from_cfg(cfg)
    hook = type('Calls', (Hook,), {k: staticmethod(v) for k, v in hooks.items()})()
    runner.register_hook(hook, priority='VERY_HIGH')
    return runner


def train_full(args: argparse.Namespace) -> None:
    epochs = args.full_epochs + 1  # the last one is of slices: it is not begun
    cfg = config(args, 'full', epochs, args.full_epochs / epochs)
    cfg.resume = (args.work_dir / 'full' / 'last_checkpoint').is_file()
    start = time.process_time()

    def before_train_iter(runner, batch_idx, data_batch=None):
        if runner.train_loop.trains_paths:
            raise Done

    runner = runner_of(cfg, before_train_iter=before_train_iter)
    try:
        runner.train()
    except Done:
        rating = runner.train_loop.start
        about = dict(top1_pct=rating.top1_pct, loss=rating.loss, num_images=rating.num_images)
        cpu = time.process_time() - start
        note(args.json, 'full', dict(about, epochs=args.full_epochs, input_size=args.input_size,
                                     cpu_seconds=cpu, resumed=bool(cfg.resume)))  # fmt: skip


def train_slices(args: argparse.Namespace, way: str, full: Path) -> None:
    """One way of training, and the ratings of the paths."""
    steps = 0 if way == 'start' else max(1, round(args.seconds / seconds_per_step(args, way, full)))
    cfg = config(args, way, 1, 0.0, **WAYS.get(way, {}))
    cfg.load_from = str(full)
    clock = []  # where an epoch begins and ends: what lies between is reading and training

    def before_train(runner):
        clock.append(time.process_time())
        if steps == 0:
            raise Done

    def before_train_epoch(runner):
        clock.append(time.process_time())

    def before_train_iter(runner, batch_idx, data_batch=None):
        if runner.iter == steps:
            clock.append(time.process_time())
            raise Done

    def after_train_epoch(runner):
        clock.append(time.process_time())

    length = len(runner_of(cfg).train_dataloader)
    cfg.train_cfg.max_epochs = steps // length + 1
    cfg.param_scheduler[0].update(T_max=max(1, steps) / length, full_share=0.0)
    runner = runner_of(
        cfg, before_train=before_train, before_train_epoch=before_train_epoch,
        before_train_iter=before_train_iter, after_train_epoch=after_train_epoch,
    )  # fmt: skip
    with suppress(Done):
        runner.train()
    cpu = sum(end - begin for begin, end in zip(clock[1::2], clock[2::2]))
    loop = runner.train_loop
    if steps == 0:
        loop.start_paths()  # the same order of channels
    record = dict(epochs=runner.iter / length, steps=runner.iter, cpu_seconds=cpu,
                  stopped=loop.stop_training)  # fmt: skip
    begin = time.process_time()
    paths = rate(args, runner)
    note(args.json, way, dict(record, rating_seconds=time.process_time() - begin, paths=paths))


def seconds_per_step(args, way: str, full: Path, steps: int = 6) -> float:
    """CPU seconds, by a few of them."""
    cfg = config(args, 'probe', 2, 0.0, **WAYS[way])
    cfg.load_from = str(full)
    clock = []

    def before_train_iter(runner, batch_idx, data_batch=None):
        clock.append(time.process_time())
        if len(clock) > steps + 1:
            raise Done

    runner = runner_of(cfg, before_train_iter=before_train_iter)
    with suppress(Done):
        runner.train()
    return (clock[-1] - clock[1]) / (len(clock) - 2)  # the first is not as the others


def rate(args: argparse.Namespace, runner) -> list[dict]:
    """The same paths for every way: its architecture, cost and the losses of single images."""
    from cream_mm.costs import Budget
    from cream_mm.search import PathSampler

    loop = runner.test_loop
    costs, space = loop.budget.cost_model, loop.supernet.space
    full = costs.cost(space.full_path).in_units()['macs_m']
    evaluator = loop.build_evaluator(log_file=None)
    records = []
    for low, high in SHARES:
        budget = Budget(costs, macs_m=(low * full, high * full))
        sampler = PathSampler(space, budget, seed=0)
        for step in range(args.paths):
            arch = sampler.sample(2**40 + step)
            rating = evaluator.rate(arch)
            macs = costs.cost(arch).in_units()['macs_m']
            records.append(dict(arch=arch.to_list(), share=macs / full, band=[low, high],
                                top1_pct=rating.top1_pct, loss=rating.loss,
                                losses=list(rating.losses)))  # fmt: skip
    return records


# ---- the page ------------------------------------------------------------------------------------


def page_of(records: dict[str, dict]) -> str:
    """The page, from the records."""
    full = records['full']
    ways = [way for way in TITLES if way in records]
    lines = [
        '# How slices are trained: random paths or a sandwich',
        '',
        'Written by `python benchmarks/elastic_training.py --page` from `elastic_training.json`.',
        '',
        f'EfficientNet-Lite0 with ImageNet weights, fine-tuned for {full["epochs"]} epochs on '
        f'clothing at {full["input_size"]} px ({full["cpu_seconds"]:.0f} CPU seconds): '
        f'{full["top1_pct"]:.1f} % top-1, cross entropy {full["loss"]:.3f} on '
        f'{full["num_images"]} held-out images. From these weights each way trains slices for '
        'about the same CPU seconds of steps (one thread); then the same random paths are rated '
        'with batch norm fitted to each. Means over the paths.',
        '',
        '| slices | epochs | steps | CPU s | 45-55 % of MACs: CE / top-1 | 60-70 %: CE / top-1 |',
        '| --- | --- | --- | --- | --- | --- |',
    ]
    for way in ways:
        record = records[way]
        bands = [[p for p in record['paths'] if p['band'] == list(band)] for band in SHARES]
        told = ' | '.join(
            f'{mean(p["loss"] for p in band):.3f} / {mean(p["top1_pct"] for p in band):.1f} %'
            for band in bands
        )
        stopped = ' (stopped)' if record['stopped'] else ''
        lines.append(
            f'| {TITLES[way]}{stopped} | {record["epochs"]:.1f} | {record["steps"]} | '
            f'{record["cpu_seconds"]:.0f} | {told} |'
        )
    lines += ['', 'Paired differences of cross entropy to the random paths, by image, over all '
              'paths, with a 95 % interval (above 0: worse than random paths):', '']  # fmt: skip
    for way in ways:
        if way.startswith('sandwich') and 'random' in records:
            shift, error = difference(records[way]['paths'], records['random']['paths'])
            lines.append(
                f'* {TITLES[way]}: {shift:+.3f} nats, {shift - 1.96 * error:+.3f} to '
                f'{shift + 1.96 * error:+.3f}: {verdict(shift, error)}'
            )
    if records['random']['cpu_seconds'] < SHORT:
        lines += [
            '',
            'These are short runs, of a full network that had not settled: they say how the ways '
            "begin, not how they end. The default stays `paths='random'`, with which the pilot was "
            'made.',
        ]
    return '\n'.join(lines) + '\n'


def verdict(shift: float, error: float) -> str:
    if abs(shift) <= 1.96 * error:
        return 'undecided'
    return 'random paths are better' if shift > 0 else 'the sandwich is better'


def mean(values) -> float:
    values = list(values)
    return sum(values) / len(values)


def difference(one: list[dict], other: list[dict]) -> tuple[float, float]:
    """Mean difference of the losses of the same paths, and its standard error over the images.

    Each image counts once, with its mean over the paths: how hard it is is in all of them.
    """
    pairs = [zip(a['losses'], b['losses'], strict=True) for a, b in zip(one, other, strict=True)]
    images = [mean(x - y for x, y in image) for image in zip(*pairs, strict=True)]
    middle = mean(images)
    spread = sum((x - middle) ** 2 for x in images) / (len(images) - 1)
    return middle, (spread / len(images)) ** 0.5


if __name__ == '__main__':
    main()
