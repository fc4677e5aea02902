"""How fast is a training step of the Cream supernet, and where does its time go?

  python benchmarks/supernet_step.py --baseline --json docs/results/supernet_step.json
  python benchmarks/supernet_step.py --size 64 --batch 64 --baseline
  python benchmarks/supernet_step.py --device cuda --amp --batch 128

Modes, each in a process of its own, in turns with the first on the same paths:
  cream     a step as configs/cream/search_imagenet.py trains it, with a full board
  plain     the same supernet, single-path training without a board
  baseline  (--baseline) the released code's step in plain PyTorch, see plain_supernet.py, with
            what PyTorch and the C library do by default
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import torch
from plain_supernet import Entry, PlainStep, PlainSupernet
from search_model import build_search
from torch import Tensor

from cream_mm.costs import Budget, build_cost_model
from cream_mm.files import write_json
from cream_mm.models.layers.init import init_cream_weights
from cream_mm.ops import keep_freed_memory
from cream_mm.search import PathSampler
from cream_mm.spaces import MBConvSpace
from cream_mm.structures import Arch
from cream_mm.structures.randomness import named_rng
from cream_mm.testing import tiny_samples

CONFIG = 'configs/cream/search_imagenet.py'
PHASES = ('data', 'matching', 'teacher', 'student', 'backward', 'optimizer')


class Clock:
    """Adds up the seconds of each phase of a step."""

    def __init__(self, device: str):
        self.device = device
        self.forget()

    def forget(self) -> None:
        self.phases = dict.fromkeys(PHASES, 0.0)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        self.synchronize()
        self.phases[name] += time.perf_counter() - begin

    def synchronize(self) -> None:
        if self.device == 'cuda':
            torch.cuda.synchronize()


class OurStep:
    """``cream`` or ``plain``: a model, an optimizer, and a step that is timed by phase."""

    def __init__(self, mode: str, args: argparse.Namespace, clock: Clock):
        self.args, self.clock = args, clock
        keep_freed_memory()  # as the Runner does
        options = {'input_size': args.size}
        if mode != 'plain' and args.side_precision:
            options['model.side_precision'] = args.side_precision
        self.model = build_search(
            CONFIG, options, budget=False, board=mode != 'plain', capacity=args.board
        )
        self.model.to(args.device)
        if self.model.board is not None:
            for i, (arch, images, targets) in enumerate(board_entries(args)):
                self.model.board.offer(arch, 50.0 - i, images, targets)
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), lr=1e-3, momentum=0.9, nesterov=True, weight_decay=1e-4
        )

    def run(self, arch: Arch, images: Tensor) -> None:
        model, clock = self.model, self.clock
        with clock.phase('data'):
            samples = tiny_samples(labels(self.args))
            data = model.data_preprocessor(dict(inputs=images, data_samples=samples), True)
        model.backbone.set_arch(arch)
        # Phases inside the loss: matching and teacher are methods of the model.
        timed = dict(
            pick_teacher=self._timed('matching', model.pick_teacher),
            teach=self._timed('teacher', model.teach),
        )
        before = clock.phases['matching'] + clock.phases['teacher']
        begin = time.perf_counter()
        autocast = torch.autocast(self.args.device, enabled=self.args.amp)
        with mock.patch.multiple(model, **timed), autocast:
            losses = model.loss(data['inputs'], data['data_samples'])
            loss, _ = model.parse_losses(losses)
        clock.synchronize()
        inside = clock.phases['matching'] + clock.phases['teacher'] - before
        clock.phases['student'] += time.perf_counter() - begin - inside
        with clock.phase('backward'):
            self.optimizer.zero_grad()
            loss.backward()
        with clock.phase('optimizer'):
            self.optimizer.step()

    def _timed(self, phase: str, function: Callable) -> Callable:
        def run(*args):
            with self.clock.phase(phase):
                return function(*args)

        return run


class BaselineStep:
    """``baseline``: none of our code but what draws paths, images and the board."""

    def __init__(self, args: argparse.Namespace, clock: Clock):
        self.args, self.clock = args, clock
        torch.manual_seed(0)
        model = PlainSupernet(silu=args.silu)
        init_cream_weights(model)
        board = [Entry(as_lists(arch), *rest) for arch, *rest in board_entries(args)]
        self.step = PlainStep(model.to(args.device).train(), board)
        pixel = torch.tensor([[123.675, 116.28, 103.53], [58.395, 57.12, 57.375]])
        self.mean, self.std = pixel.view(2, 1, 3, 1, 1).to(args.device)

    def run(self, arch: Arch, images: Tensor) -> None:
        with self.clock.phase('data'):
            images = (images.to(self.mean)[:, [2, 1, 0]] - self.mean) / self.std
            targets = torch.tensor(labels(self.args), device=images.device)
        with torch.autocast(self.args.device, enabled=self.args.amp):
            self.step.run(images, targets, as_lists(arch), self.clock.phase)


def board_entries(args: argparse.Namespace) -> Iterator[tuple[Arch, Tensor, Tensor]]:
    space = MBConvSpace.build(None)
    for i in range(args.board):
        arch = space.sample(named_rng('board', 0, i))
        images = torch.randn(4, 3, args.size, args.size).to(args.device)
        yield arch, images, torch.rand(4, 1000).softmax(1).to(args.device)


def labels(args: argparse.Namespace) -> list[int]:
    return [i % 1000 for i in range(args.batch)]


def as_lists(arch: Arch) -> list[list[int]]:
    return [list(stage) for stage in arch.stages]


def paths(args: argparse.Namespace) -> list[Arch]:
    space = MBConvSpace.build(None)
    sampler = PathSampler(space, Budget(build_cost_model(space, args.size)), seed=0)
    return [sampler.sample(index) for index in range(args.steps)]


class Worker:
    """A process that runs steps of one mode when it is asked to."""

    def __init__(self, mode: str, args: argparse.Namespace):
        self.mode, self.seconds = mode, []
        command = [sys.executable, __file__, '--worker', mode, *sys.argv[1:]]
        env = dict(os.environ)
        if mode == 'baseline':
            env['CREAM_MM_KEEP_MEMORY'] = '0'
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
        )
        for index in range(args.steps):
            # With the paths that will be timed: PyTorch compiles a convolution when it first
            # meets its shape, as a search does in its first minute.
            self.run(index)
        self.ask('forget')
        self.seconds = []

    def run(self, index: int) -> float:
        self.seconds.append(self.ask(index)['seconds'])
        return self.seconds[-1]

    def ask(self, what: int | str) -> dict:
        self.process.stdin.write(f'{what}\n')
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith('{"worker"'):
                return json.loads(line)
        raise SystemExit(f'the process of {self.mode} ended')

    def close(self) -> dict:
        """Its phases in ms per step, and its peak memory."""
        found = self.ask('report')
        self.process.stdin.close()
        self.process.wait()
        steps = len(self.seconds)
        found['phases_ms'] = {k: v / steps * 1e3 for k, v in found.pop('phases').items()}
        return found


def work(mode: str, args: argparse.Namespace) -> None:
    """Of a worker: a step of the path of each number that is read, and a line of JSON for it."""
    clock = Clock(args.device)
    step = BaselineStep(args, clock) if mode == 'baseline' else OurStep(mode, args, clock)
    archs = paths(args)
    generator = torch.Generator().manual_seed(0)
    shape = args.batch, 3, args.size, args.size
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    for line in sys.stdin:
        answer = dict(worker=mode)
        if line.strip() == 'forget':
            clock.forget()
        elif line.strip() == 'report':
            answer.update(phases=clock.phases, peak_mb=peak_mb(args.device))
            answer['side_bf16'] = getattr(getattr(step, 'model', None), 'auxiliary_bf16', False)
        else:
            clock.synchronize()
            begin = time.perf_counter()
            step.run(archs[int(line)], images)
            answer['seconds'] = time.perf_counter() - begin
        print(json.dumps(answer), flush=True)


def peak_mb(device: str) -> float:
    """Peak memory of this process, in MB (10^6 bytes)."""
    if device == 'cuda':
        return torch.cuda.max_memory_allocated() / 1e6
    # Not getrusage: its maximum is inherited from the process that started this one.
    status = Path('/proc/self/status').read_text()
    return int(status.split('VmHWM:')[1].split()[0]) * 1024 / 1e6


def gemm_gflops(device: str) -> float:
    """What a square matrix product reaches here: the yardstick of the machine."""
    size = 8192 if device == 'cuda' else 2048
    a = torch.randn(size, size, device=device)
    times = []
    for _ in range(4):
        begin = time.perf_counter()
        a @ a
        if device == 'cuda':
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    return 2 * size**3 / min(times) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--size', type=int, default=224, help='side of the images in pixels')
    parser.add_argument('--batch', type=int, default=32)
    parser.add_argument('--board', type=int, default=10, help='entries on the board')
    parser.add_argument('--steps', type=int, default=5, help='timed steps of each mode')
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cpu')
    parser.add_argument('--amp', action='store_true', help='automatic mixed precision')
    parser.add_argument('--side-precision', choices=['float32', 'bfloat16', 'auto'],
                        help="of matching and teaching; default: the config's")  # fmt: skip
    parser.add_argument('--baseline', action='store_true', help='measure the released code too')
    parser.add_argument('--silu', action='store_true', help="the baseline with PyTorch's SiLU")
    parser.add_argument('--worker', choices=['cream', 'plain', 'baseline'], help=argparse.SUPPRESS)
    parser.add_argument('--json', metavar='FILE', help='write the figures')
    args = parser.parse_args()
    if args.worker:
        work(args.worker, args)
        return
    workers = dict(cream=Worker('cream', args))
    found, ratios = {}, {}
    for mode in ['plain'] + ['baseline'] * args.baseline:
        workers[mode] = Worker(mode, args)
        ratios[mode] = in_turns(workers['cream'], workers[mode], args.steps)
        found[mode] = workers[mode].close()  # its memory is another's now
    found['cream'] = workers['cream'].close()
    report(workers, found, ratios, args)


def in_turns(cream: Worker, other: Worker, count: int) -> float:
    """Seconds of a step of ``other`` over one of ``cream``: median over pairs on the same path."""
    pairs = []
    for index in range(count):
        pairs.append((cream.run(index), other.run(index)))
        done = f'path {index + 1}/{count}: cream {pairs[-1][0]:.2f} s'
        print(f'{done}, {other.mode} {pairs[-1][1]:.2f} s', flush=True)
    return statistics.median(b / a for a, b in pairs)


def report(workers: dict, found: dict, ratios: dict, args: argparse.Namespace) -> None:
    rate = {m: args.batch / statistics.median(w.seconds) for m, w in workers.items()}
    # Two per multiply-add; a backward pass is two forwards.
    costs = build_cost_model(MBConvSpace.build(None), args.size, 1000, 1280)
    macs = statistics.mean(costs.cost(arch).macs for arch in paths(args))
    gemm = gemm_gflops(args.device)
    share = 2 * macs * 3 * rate['plain'] / 1e9 / gemm
    threads = torch.get_num_threads()
    print(f'\n{platform.processor() or platform.machine()}, {threads} threads, torch '
          f'{torch.__version__}, {args.device}, batch {args.batch} at {args.size}')  # fmt: skip
    print(f'GEMM {gemm:.0f} GFLOP/s; a plain step uses {share:.0%} of it')
    print(f'{"":10s}{"img/s":>8s}  ' + ''.join(f'{p:>11s}' for p in PHASES) + '   ms per step')
    for mode in workers:
        cells = ''.join(f'{found[mode]["phases_ms"][p]:11.0f}' for p in PHASES)
        print(f'{mode:10s}{rate[mode]:8.2f}  {cells}')
    result = dict(
        size=args.size,
        batch=args.batch,
        board=args.board,
        steps=args.steps,
        device=args.device,
        amp=args.amp,
        side_bf16=found['cream']['side_bf16'],
        threads=threads,
        torch=torch.__version__,
        img_per_s=rate['cream'],
        plain_img_per_s=rate['plain'],
        cream_over_plain_time=1 / ratios['plain'],
        gemm_gflops=gemm,
        gemm_share=share,
        peak_mb=found['cream']['peak_mb'],
        phases_ms={mode: found[mode]['phases_ms'] for mode in workers},
    )
    print(f'a cream step takes {result["cream_over_plain_time"]:.2f} plain ones')
    print(f'peak memory {result["peak_mb"]:.0f} MB')
    if 'baseline' in workers:
        phases = found['baseline']['phases_ms']
        result.update(
            baseline_silu=args.silu,
            baseline_img_per_s=rate['baseline'],
            ratio=ratios['baseline'],
            baseline_peak_mb=found['baseline']['peak_mb'],
            baseline_shares={p: phases[p] / sum(phases.values()) for p in PHASES},
        )
        shares = ', '.join(f'{p} {v:.0%}' for p, v in result['baseline_shares'].items())
        print(f'shares of the baseline: {shares}')
        print(f'baseline peak memory {result["baseline_peak_mb"]:.0f} MB, '
              f'{result["peak_mb"] / result["baseline_peak_mb"]:.2f} of it used')  # fmt: skip
        print(f'{result["ratio"]:.2f} times the img/s of the baseline (median of pairs)')
    if args.json:
        write_json(args.json, result)


if __name__ == '__main__':
    main()
