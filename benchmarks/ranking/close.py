"""Does CLOSE rank cells better than a vanilla supernet, in equal time? NAS-Bench-201, reduced.

  python benchmarks/ranking/close.py --pilot                 # the vanilla supernet alone: the gate
  python benchmarks/ranking/close.py --epochs vanilla=240 close=100 --jobs 8     # 4 seeds of both
  python benchmarks/ranking/close.py --mechanics             # what banks, gate and switches do
  python benchmarks/ranking/close.py --steps                 # cost of a step by banks in use
  python benchmarks/ranking/close.py --gate                  # what scores a gate begins with
  python benchmarks/ranking/close.py --baselines             # what needs no training; 3 minutes
  python benchmarks/ranking/close.py --report                # tables and figures of the records
  python benchmarks/ranking/close.py --setting full --epochs vanilla=1000 close=1000 --jobs 1

Each run trains configs/ranking/{nb201,close}.py on packed CIFAR-10 and rates the same 500 classes
of isomorphic cells on 2,000 held-out training images, four times on its way. Epochs are chosen so
that both methods take the same seconds, which the record holds. No true accuracy takes part in a
training or a rating; they are read by --report and --baselines, of which none feeds back.

Every run writes its record into docs/results/close.json when it ends, and is not made again.
Needs data/cifar10_16 as tools/prepare_images.py --size 16 --pack writes it, and
nasbench201_200epoch.csv for --baselines and --report.
"""

import argparse
import copy
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import resident  # noqa: F401  beside this file; registers what serve() names
import torch
from mmengine.hooks import Hook
from mmengine.registry import DATASETS, MODELS, init_default_scope
from resident import ResidentBatches
from scipy.ndimage import uniform_filter1d

from cream_mm.command_line import one_line_errors
from cream_mm.config.load import load_config
from cream_mm.engine import Runner
from cream_mm.evaluation import ArchEvaluator
from cream_mm.files import PATH_LOG, read_path_log, write_json
from cream_mm.search import MainEffects
from cream_mm.spaces import NASBench201Space
from cream_mm.structures import Arch
from cream_mm.structures.randomness import named_rng

ROOT = Path(__file__).resolve().parents[2]
FORMAT = 'cream_mm.close/1'
METHODS = dict(vanilla='nb201', close='close')
STEPS = 156  # of 256 images in an epoch: 40,000 images, but for 64
NUM_RATED = 500
PILOT_SEED = 100
# 'reduced' is what docs/results/close.md reports; 'full' is the published network and images.
SETTINGS = dict(
    reduced=dict(pixels=16, cells=1, padding=2),
    full=dict(pixels=32, cells=5, padding=4),
)


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--setting', choices=SETTINGS, default='reduced')
    parser.add_argument('--methods', nargs='+', choices=METHODS, default=list(METHODS))
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2, 3])
    parser.add_argument('--epochs', nargs='+', default=['vanilla=240', 'close=100'],
                        metavar='METHOD=N', help='of 40,000 images')  # fmt: skip
    parser.add_argument('--jobs', type=int, default=1, help='processes at a time')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--data', type=Path, default=ROOT / 'data', help='default: data/')
    parser.add_argument('--table', type=Path, help='default: DATA/nasbench201_200epoch.csv')
    parser.add_argument('--work-dir', type=Path, default=ROOT / 'work_dirs/ranking/close')
    parser.add_argument('--records', type=Path, default=ROOT / 'docs/results/close.json')
    parser.add_argument('--pilot', action='store_true', help=f'vanilla alone, seed {PILOT_SEED}')
    parser.add_argument('--mechanics', action='store_true')
    parser.add_argument('--inheritance', action='store_true', help='its part that takes minutes')
    parser.add_argument('--steps', action='store_true')
    parser.add_argument('--gate', action='store_true')
    parser.add_argument('--baselines', action='store_true')
    parser.add_argument('--report', action='store_true', help='run nothing')
    parser.add_argument('--batch-size', type=int, default=256)
    parser.add_argument('--steps-per-epoch', type=int, default=STEPS)
    parser.add_argument('--points', type=int, default=3, help='ratings on the way, the last one '
                        'included')  # fmt: skip
    parser.add_argument('--num-images', type=int, default=2000, help='to rate a cell on')
    parser.add_argument('--one', type=json.loads, help=argparse.SUPPRESS)  # a run of its own
    args = parser.parse_args(argv)
    args.table = args.table or args.data / 'nasbench201_200epoch.csv'
    args.epochs = {name: int(number) for name, number in (e.split('=') for e in args.epochs)}
    return args


def main(argv=None) -> None:
    args = parse_args(argv)
    if args.one:
        write_json(args.records, train(args, **args.one))
        return
    if args.steps:
        add(args.records, 'steps', step_costs(args))
    if args.gate:
        add(args.records, 'gate', gate_at_start(), replace=True)
    if args.baselines:
        from close_report import baselines  # beside this file

        add(args.records, 'baselines', baselines(args), replace=True)
    if args.mechanics or args.inheritance:
        named = dict(mechanics=args.mechanics, inheritance=args.inheritance)
        run_all(args, [dict(method=name, seed=0) for name, is_asked in named.items() if is_asked])
    elif args.pilot:
        run_all(args, [dict(method='vanilla', seed=PILOT_SEED)])
    elif not (args.steps or args.gate or args.baselines or args.report):
        run_all(args, [dict(method=m, seed=s) for s in args.seeds for m in args.methods])
    if args.report:
        from close_report import write_report  # beside this file

        write_report(args)


# ---- records -------------------------------------------------------------------------------------


def read_records(path: Path) -> dict:
    """What docs/results/close.json holds; empty where there is no file."""
    if not path.is_file():
        return dict(format=FORMAT, rated=rated_cells(), runs=[], steps=[], gate=[], baselines=None)
    content = json.loads(path.read_text())
    if content.get('format') != FORMAT:
        raise ValueError(f'{path} is not of format {FORMAT}')
    return content


def add(path: Path, key: str, value, replace: bool = False) -> None:
    content = read_records(path)
    content[key] = value if replace else [*content[key], value]
    write_json(path, content)


def key_of(run: dict) -> tuple:
    return run['setting'], run['method'], run['seed'], run['device']


def run_all(args, runs: list[dict]) -> None:
    """Each in a process of its own, as many at a time as there are jobs."""
    device = torch.cuda.get_device_name() if args.device == 'cuda' else 'cpu'
    runs = [dict(run, setting=args.setting, device=device) for run in runs]
    known = {key_of(run) for run in read_records(args.records)['runs']}
    missing = [run for run in runs if key_of(run) not in known]
    print(f'{len(runs) - len(missing)} of {len(runs)} runs are in {args.records}', flush=True)

    def one(run: dict) -> dict:
        folder = args.work_dir / '-'.join(str(run[k]) for k in ('setting', 'method', 'seed'))
        folder.mkdir(parents=True, exist_ok=True)
        record, given = folder / 'record.json', dict(method=run['method'], seed=run['seed'])
        given.update(
            epochs=args.epochs.get(run['method'], 100), processes=min(args.jobs, len(missing))
        )
        command = [sys.executable, __file__, '--one', json.dumps(given), '--records', str(record)]
        for name in ('setting', 'device', 'data', 'work_dir', 'batch_size', 'steps_per_epoch',
                     'num_images', 'points'):  # fmt: skip
            command += [f'--{name.replace("_", "-")}', str(getattr(args, name))]
        env = dict(os.environ, OMP_NUM_THREADS='1', MKL_NUM_THREADS='1')
        with open(folder / 'output.txt', 'a') as out:
            done = subprocess.run(command, env=env, stdout=out, stderr=out)
        if done.returncode:
            tail = (folder / 'output.txt').read_text().strip().splitlines()[-1:]
            raise RuntimeError(f'{run} failed: {"".join(tail)}; see {folder / "output.txt"}')
        return dict(json.loads(record.read_text()), device=device)

    with ThreadPoolExecutor(args.jobs) as pool:
        futures = [pool.submit(one, run) for run in missing]
    failed = []
    for future in futures:  # each ended; one that failed loses no other
        if future.exception():
            failed.append(future.exception())
            continue
        add(args.records, 'runs', future.result())
        record = future.result()
        print(words(record, args.table), flush=True)
    if failed:
        raise RuntimeError('\n'.join(map(str, failed)))


def words(record: dict, table: Path) -> str:
    """A run in a line: time of a step by banks in use, and tau where there is the table."""
    by_banks = {}
    for banks, seconds in zip(record['epoch_banks'][1:], record['epoch_s'][1:]):
        by_banks.setdefault(banks, []).append(1e3 * seconds * record['epochs'] / record['steps'])
    steps = ', '.join(f'{k}: {np.median(ms):.2f}' for k, ms in by_banks.items())
    text = (
        f'{record["method"]} seed {record["seed"]}: {record["epochs"]} epochs in '
        f'{record["train_s"]:.0f} s ({record["train_cpu_s"]:.0f} of CPU), rated in '
        f'{record["rate_s"]:.0f} s; ms of a step by banks: {steps}'
    )
    if table.is_file():
        from close_report import tau, truth  # beside this file

        true = truth(table)
        for point in record['curve']:
            found = ', '.join(f'{k} {tau(record, point, k, true):.3f}' for k in ('loss', 'top1'))
            text += f'\n  epoch {point["epoch"]}: tau of {found}'
    return text


# ---- what is rated -------------------------------------------------------------------------------


def space_of(setting: str = 'reduced') -> NASBench201Space:
    return NASBench201Space(num_cells=SETTINGS[setting]['cells'])


def rated_archs(space: NASBench201Space) -> list[Arch]:
    """500 of the 6,466 classes, the same in every run; as the published protocol, no test of
    whether they can be trained."""
    classes = space.classes()
    return [
        classes[i] for i in named_rng('close rated', 0, 0).permutation(len(classes))[:NUM_RATED]
    ]


def rated_cells() -> list[str]:
    space = space_of()
    return [space.format(arch) for arch in rated_archs(space)]


def with_pairs(arch: Arch) -> Arch:
    """A cell whose positions are its edges, and then all pairs of them: for effects of pairs."""
    ops = [op for node in arch.stages for op in node]
    pairs = [5 * a + b for i, a in enumerate(ops) for b in ops[i + 1 :]]
    return Arch((tuple(ops), tuple(pairs)), 'pairs', fixed_ends=False)


# ---- a run ---------------------------------------------------------------------------------------


def config_of(args, method: str, seed: int, epochs: int, work_dir: str):
    """The config of a method, its images on the device and its epochs of `STEPS` steps."""
    setting = SETTINGS[args.setting]
    root = str(args.data / f'cifar10_{setting["pixels"]}')
    options = dict(
        data_root=root, input_size=setting['pixels'], max_epochs=epochs, batch_size=args.batch_size,
        work_dir=work_dir,
    )  # fmt: skip
    if args.setting != 'reduced':
        options['model.backbone.space.num_cells'] = setting['cells']
    cfg = load_config(str(ROOT / f'configs/ranking/{METHODS.get(method, "close")}.py'), options)
    if method in ('mechanics', 'inheritance'):
        cfg.model.backbone.router.num_banks = 5
        cfg.custom_hooks[0].schedule = (0, 0.2, 0.4, 0.6, 0.8)
    cfg.train_dataloader = serve(cfg, args, seed)
    cfg.train_cfg.rate_at_end = False
    cfg.auto_scale_lr.enable = False
    cfg.randomness = dict(seed=seed)
    cfg.log_level = 'WARNING'
    cfg.default_hooks.checkpoint = dict(type='cream_mm.CheckpointHook', interval=epochs)
    cfg.default_hooks.logger.interval = args.steps_per_epoch
    cfg.env_cfg.cudnn_benchmark = args.device == 'cuda'
    return cfg


def serve(cfg, args, seed: int) -> dict:
    given = cfg.train_dataloader.dataset
    return dict(
        batch_size=None,
        num_workers=0,
        sampler=dict(
            type='BatchesOfRows', batch_size=args.batch_size, num_batches=args.steps_per_epoch
        ),
        dataset=dict(
            type='ResidentImages', data_root=given.data_root, part='train', holdout=given.holdout,
            device=args.device, padding=SETTINGS[args.setting]['padding'], seed=seed,
        ),
        collate_fn=dict(type='as_it_is'),
    )  # fmt: skip


def train(args, method: str, seed: int, epochs: int, processes: int) -> dict:
    """Train and rate; the record."""
    with tempfile.TemporaryDirectory() as work_dir:
        cfg = config_of(args, method, seed, epochs, work_dir)
        runner = Runner.from_cfg(cfg)
        evaluator = build_evaluator(cfg, runner.model, args.device, args.num_images)
        watch = Watch(epochs, args.points, evaluator, rated_archs(runner.model.backbone.space))
        runner.register_hook(watch, priority='LOWEST')
        mechanics = None
        if method in ('mechanics', 'inheritance'):
            held = build_evaluator(cfg, runner.model, args.device, Mechanics.NUM_HELD)
            mechanics = Mechanics(cfg, held, goes_on=method == 'mechanics')
            runner.register_hook(mechanics, priority='VERY_HIGH')
        runner.train()
        record = dict(
            setting=args.setting,
            method=method,
            seed=seed,
            epochs=epochs,
            steps=epochs * args.steps_per_epoch,
            batch_size=args.batch_size,
            rated_images=args.num_images,
            optimizer=dict(cfg.optim_wrapper.optimizer),
            torch=torch.__version__,
            processes=processes,
            train_s=round(sum(watch.seconds), 2),
            train_cpu_s=round(sum(watch.cpu), 2),
            epoch_s=[round(s, 3) for s in watch.seconds],
            epoch_loss=[round(loss, 5) for loss in watch.losses],
            epoch_banks=watch.banks,
            rate_s=round(watch.rate_s, 2),
            curve=watch.points,
            routes=watch.routes,
            effects=effects(Path(work_dir) / PATH_LOG, runner.model.backbone.space),
        )
        if mechanics:
            record.update(switches=mechanics.switches)
    return record


def build_evaluator(cfg, model, device: str, num_images: int) -> ArchEvaluator:
    """Rates by batch statistics on images that were held out of the training."""
    held = dict(cfg.test_dataloader.dataset)
    evaluator = ArchEvaluator(
        model, DATASETS.build(held), None, bn_policy='batch_stats', num_images=num_images,
        batch_size=500,
    )  # fmt: skip
    # Collated and brought to the device once, not once a path: of a small network's rating that
    # is nearly all of the time.
    evaluator._batches = ResidentBatches(evaluator._batches, device)
    return evaluator


class Watch(Hook):
    """Time and loss of each epoch; ratings of the 500 cells at a few of them, off the clock."""

    def __init__(self, epochs: int, points: int, evaluator: ArchEvaluator, archs: list[Arch]):
        self.at = {round(epochs * (i + 1) / points) for i in range(points)}
        self.evaluator, self.archs = evaluator, archs
        self.seconds, self.cpu, self.losses, self.banks = [], [], [], []
        self.points, self.routes, self.rate_s = [], [], 0.0

    def before_train_epoch(self, runner) -> None:
        self._losses, self._start = [], (time.perf_counter(), time.process_time())

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self._losses.append(outputs['loss'].detach())

    def after_train_epoch(self, runner) -> None:
        self.losses.append(float(torch.stack(self._losses).mean()))  # waits for the device
        self.seconds.append(time.perf_counter() - self._start[0])
        self.cpu.append(time.process_time() - self._start[1])
        supernet, epoch = runner.model.backbone, runner.epoch + 1
        self.banks.append(supernet.num_active)
        if supernet.router.num_banks < 6 and epoch in {*self.at, runner.max_epochs}:
            self.routes.append(dict(epoch=epoch, **routes(supernet)))
        if epoch not in self.at:
            return
        start = time.perf_counter()
        ratings = [self.evaluator.rate(arch) for arch in self.archs]
        self.points.append(
            dict(
                epoch=epoch,
                train_s=round(sum(self.seconds), 2),
                loss=[round(r.loss, 5) for r in ratings],
                top1=[round(r.top1_pct, 3) for r in ratings],
            )
        )
        self.rate_s += time.perf_counter() - start
        print(f'epoch {epoch}: {sum(self.seconds):.0f} s, loss {self.losses[-1]:.4f}, rated in '
              f'{time.perf_counter() - start:.0f} s', flush=True)  # fmt: skip


def effects(path_log: Path, space: NASBench201Space) -> dict:
    """Scores of the rated cells by the losses of the training, of its last two thirds.

    ``edges``: a sum of effects of single choices, as :func:`training_effects`; ``pairs``: and of
    pairs of choices.
    """
    archs, losses, _ = read_path_log(path_log, space)
    gains = -(losses - uniform_filter1d(losses, 101, mode='reflect'))
    first, rated = len(archs) // 3, rated_archs(space)
    found = {}
    for name, spell in (('edges', lambda arch: arch), ('pairs', with_pairs)):
        fit = MainEffects([spell(arch) for arch in archs[first:]], gains[first:])
        scores = fit.predict([spell(arch) for arch in rated])
        found[name] = dict(scores=[round(float(s), 6) for s in scores], loo_error=fit.loo_error)
    return found


@torch.no_grad()
def routes(supernet) -> dict:
    """Where the gate puts the live edges of all cells that can be trained, without noise.

    Returns:
        dict: ``active``; ``counts[position][operation][bank]`` over live edges with a convolution;
        ``distinct[n]``: cells whose convolutions use n banks, of those with two or more.
    """
    space, router = supernet.space, copy.deepcopy(supernet.router).cpu()
    active = supernet.num_active
    counts = np.zeros((6, 5, active), dtype=int)
    distinct = np.zeros(active + 1, dtype=int)
    for arch in space.classes(trainable=True):
        banks, ops, live = router.banks(arch), space.encode(arch), space.live_edges(arch)
        used = []
        for position, (bank, op) in enumerate(zip(banks, ops)):
            if live[position] and op in (2, 3):
                counts[position, op, bank] += 1
                used.append(bank)
        if len(used) > 1:
            distinct[len(set(used))] += 1
    return dict(active=active, counts=counts.tolist(), distinct=distinct.tolist())


# ---- mechanics -----------------------------------------------------------------------------------


class Mechanics(Hook):
    """At each switch: the loss of 50 cells before and after it, in every way to switch.

    From the state at the switch six copies go on for some steps, on the paths and images that the
    run sees next: with one more bank that inherits, with one that does not, with none; each with
    the optimizer as it is, and begun anew at the first learning rate. The run itself goes on with
    what its hook does. Before an epoch, ahead of the :class:`CurriculumHook`.

    The gate may not choose the bank that begins. So the loss is taken with that bank at every
    edge, too, and with banks drawn as in training; without ``goes_on`` that is all.
    """

    NUM_CELLS, NUM_HELD, NUM_STEPS = 50, 500, (0, 25, 100)

    def __init__(self, cfg, evaluator: ArchEvaluator, goes_on: bool):
        self.cfg, self.evaluator, self.goes_on = cfg, evaluator, goes_on
        self.switches: list[dict] = []

    def before_train_epoch(self, runner) -> None:
        from cream_mm.methods.close.curriculum_hook import epochs_of

        starts = epochs_of(self.cfg.custom_hooks[0].schedule, runner.max_epochs, 'schedule')
        if runner.epoch + 1 not in starts[1:]:
            return
        begin = time.perf_counter()
        space = runner.model.backbone.space
        classes = space.classes(trainable=True)
        chosen = named_rng('close mechanics', 0, 0).permutation(len(classes))[: self.NUM_CELLS]
        self.cells = [classes[i] for i in chosen]
        switch = dict(epoch=runner.epoch + 1, active=runner.model.backbone.num_active, ways={})
        switch['routes_before'] = routes(runner.model.backbone)
        switch['lr'] = runner.optim_wrapper.get_lr()['lr'][0]
        switch['routings'] = self._routings(runner.model)
        switch['scores'] = self._scores(runner.model.backbone.router)
        for bank in ('none', 'inherits', 'begins'):
            model = copy.deepcopy(runner.model)
            if bank != 'none':
                grow(model.backbone, bank == 'inherits')
                switch[f'routes_{bank}'] = routes(model.backbone)
            if not self.goes_on:
                continue
            begins = self._rate(model)
            for restart in (False, True):
                name = f'{bank}, {"restart" if restart else "goes on"}'
                later = self._go_on(runner, copy.deepcopy(model), restart)
                switch['ways'][name] = [begins, *later]
        self.switches.append(switch)
        print(f'switch after {switch["active"]}: {time.perf_counter() - begin:.0f} s', flush=True)

    def _routings(self, model) -> dict[str, list[float]]:
        """Losses of each cell by which banks there are and which of them edges have."""
        found = {}
        for bank in ('none', 'inherits', 'begins'):
            one = copy.deepcopy(model)
            router = one.backbone.router
            if bank == 'none':
                found['none, highest score'] = self._rate(one)
            else:
                grow(one.backbone, bank == 'inherits')
            router.gumbel_eval = True
            found[f'{bank}, drawn'] = self._rate(one)
            router.gumbel_eval = False
            if bank != 'none':
                router.mlp[-1].bias.data[router.num_active - 1] += 1e4
                found[f'{bank}, the new bank everywhere'] = self._rate(one)
        return found

    @torch.no_grad()
    def _scores(self, router) -> dict[str, list[float]]:
        """Of each bank in use: its mean score, and how far scores differ over edges and cells."""
        scores = torch.stack([router.logits(arch) for arch in self.cells]).double()
        scores = scores[..., : router.num_active]
        return dict(mean=scores.mean(dim=(0, 1)).tolist(), sd=scores.std(dim=(0, 1)).tolist())

    def _rate(self, model) -> list[float]:
        self.evaluator.model = model
        return [round(self.evaluator.rate(arch).loss, 5) for arch in self.cells]

    def _go_on(self, runner, model, restart: bool) -> list[list[float]]:
        """Losses of each cell after each of NUM_STEPS but the first."""
        settings = dict(self.cfg.optim_wrapper.optimizer)
        settings.pop('type')
        optimizer = torch.optim.SGD(model.parameters(), **settings)
        if not restart:
            optimizer.load_state_dict(copy.deepcopy(runner.optim_wrapper.optimizer.state_dict()))
        loader = runner.train_dataloader
        batches = copy.copy(loader.sampler)
        batches.epoch, batches.num_batches = 0, runner.iter + max(self.NUM_STEPS)
        losses, step = [], runner.iter
        model.train()
        for done, index in enumerate(islice(batches, runner.iter, None)):
            model.backbone.set_arch(runner.train_loop.sampler.sample(step=step + done))
            model.backbone.router.step = (runner.seed, step + done)
            data = model.data_preprocessor(loader.dataset[index], True)
            optimizer.zero_grad()
            model(**data, mode='loss')['loss'].backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            if done + 1 in self.NUM_STEPS:
                losses.append(self._rate(model))
        return losses


def grow(supernet, inherits: bool) -> None:
    """What the :class:`CurriculumHook` does at a switch, with inheritance and without."""
    from cream_mm.methods.close.glow_bank import inherit

    for new, old in supernet.grow():
        if inherits:
            inherit(new, old)
    if inherits:
        supernet.router.inherit()


@torch.no_grad()
def gate_at_start(num_seeds: int = 10) -> list[dict]:
    """How far the scores of a gate differ before any training, over edges of cells and over banks.

    Returns:
        list[dict]: By seed the standard deviation over edges and cells, of the states of nodes
        behind the encoder and of the scores, and the mean difference of two banks' scores.
    """
    cells, found = NASBench201Space().classes(trainable=True)[::63], []
    for seed in range(num_seeds):
        torch.manual_seed(seed)
        router = MODELS.build(dict(type='cream_mm.GATESRouter', num_banks=5)).double()
        scores = torch.stack([router.logits(arch) for arch in cells])  # (cells, edges, banks)
        states = torch.stack([router.embedder(router.space.encode(arch)) for arch in cells])
        gaps = scores.mean(dim=(0, 1))
        gaps = (gaps[:, None] - gaps).abs()[np.triu_indices(5, 1)]
        found.append(
            dict(
                seed=seed,
                states=float(states.std(dim=0).mean()),
                scores=float(scores.std(dim=(0, 1)).mean()),
                between_banks=float(gaps.mean()),
            )
        )
    return found


def step_costs(args, repeats: int = 60, warmup: int = 15) -> dict:
    """Milliseconds of a step, forward, backward and optimizer, by banks in use; same cells."""
    init_default_scope('mmpretrain')
    device, found = args.device, {}
    for name in ('vanilla', 1, 2, 3, 4, 5):
        cfg = config_of(args, 'vanilla' if name == 'vanilla' else 'mechanics', 0, 100, '/tmp')
        torch.manual_seed(0)
        model = MODELS.build(cfg.model).to(device).train()
        if name != 'vanilla':
            model.backbone.router.active.fill_(name)
        data = DATASETS.build(cfg.train_dataloader['dataset'])
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
        rng, times = named_rng('step costs', 0, 0), []
        for step in range(warmup + repeats):
            arch = model.backbone.space.sample(rng)
            batch = data[step, np.arange(args.batch_size)]
            begin = time.perf_counter(), time.process_time()
            model.backbone.set_arch(arch)
            model.backbone.router.step = (0, step)
            optimizer.zero_grad()
            model(**model.data_preprocessor(batch, True), mode='loss')['loss'].backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            if device == 'cuda':
                torch.cuda.synchronize()
            times.append((time.perf_counter() - begin[0], time.process_time() - begin[1]))
        wall, cpu = 1e3 * np.array(times[warmup:]).T
        found[str(name)] = dict(
            ms=round(float(wall.mean()), 3),
            cpu_ms=round(float(cpu.mean()), 3),
            cpu_ms_error=round(float(cpu.std() / repeats**0.5), 3),
        )
        print(name, found[str(name)], flush=True)
    where = torch.cuda.get_device_name() if device == 'cuda' else 'cpu'
    return dict(setting=args.setting, device=where, batch_size=args.batch_size, steps=repeats,
                threads=torch.get_num_threads(), by_banks=found)  # fmt: skip


if __name__ == '__main__':
    with one_line_errors():
        main()
