"""How fast is a training step of the Cream supernet, and where does its time go?

  python benchmarks/supernet_step.py --baseline --json docs/results/supernet_step.json
  python benchmarks/supernet_step.py --size 64 --batch 64 --baseline
  python benchmarks/supernet_step.py --device cuda --amp --batch 128

Modes, in turns in one process:
  cream     a step as configs/cream/search_imagenet.py trains it, with a full board
  plain     the same supernet, single-path training without a board
  baseline  (--baseline) the semantics of the released code on PyTorch's own operators: contiguous
            layout, one matching forward per board entry inside the autograd graph, the teacher in
            train mode, a gradient (of zero) for every parameter in every optimizer step; memory
            goes back to the system at every step, as glibc does it

--only MODE runs a single one, so that `/usr/bin/time -v` can tell its peak memory.
"""

import argparse
import platform
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager, nullcontext
from pathlib import Path
from unittest import mock

import torch
from mmengine.registry import DefaultScope

from cream_mm.config.load import load_config
from cream_mm.files import write_json
from cream_mm.models.layers.init import init_cream_weights
from cream_mm.models.supernets import mbconv_supernet
from cream_mm.ops import cpu_kernels, keep_freed_memory
from cream_mm.registry import MODELS
from cream_mm.search import PathSampler
from cream_mm.structures.randomness import named_rng
from cream_mm.testing import tiny_samples

CONFIG = Path(__file__).resolve().parents[1] / 'configs/cream/search_imagenet.py'
PHASES = ('data', 'matching', 'teacher', 'student', 'backward', 'optimizer')


class Step:
    """One mode: a model, an optimizer, and a step that is timed by phase."""

    def __init__(self, mode: str, args):
        self.mode, self.args = mode, args
        cfg = load_config(str(CONFIG), {'input_size': args.size}, check_data=False).model
        cfg.budget = {}
        if mode == 'plain':
            cfg.board = cfg.matching = None
        if mode == 'baseline':
            cfg.compat, cfg.side_precision = 'official', 'float32'
        elif args.side_precision:
            cfg.side_precision = args.side_precision
        if cfg.board:
            cfg.board.capacity = args.board
        torch.manual_seed(0)
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            self.model = MODELS.build(cfg)
        init_cream_weights(self.model)
        self.model.to(args.device).train()
        self.space = self.model.backbone.space
        self.sampler = PathSampler(self.space, self.model.budget, seed=0)
        if cfg.board:
            self._fill_board()
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), lr=1e-3, momentum=0.9, nesterov=True, weight_decay=1e-4
        )
        if mode == 'baseline':  # as after a while of training: every path was met
            for param in self.model.parameters():
                param.grad = torch.zeros_like(param)
        self.forget()

    def _fill_board(self) -> None:
        size, board = self.args.size, self.model.board
        for i in range(self.args.board):
            arch = self.space.sample(named_rng('board', 0, i))
            images = torch.randn(board.num_images, 3, size, size)
            targets = torch.rand(board.num_images, 1000).softmax(1)
            board.offer(arch, 50.0 - i, images.to(self.args.device), targets.to(self.args.device))

    def forget(self) -> None:
        self.phases = dict.fromkeys(PHASES, 0.0)
        self.seconds = []

    def mean_ms(self, phase: str) -> float:
        return self.phases[phase] / len(self.seconds) * 1e3

    def run(self, index: int, raw) -> float:
        self._synchronize()
        start = time.perf_counter()
        with self._released_operators() if self.mode == 'baseline' else nullcontext():
            self._run(index, raw)
        self._synchronize()
        self.seconds.append(time.perf_counter() - start)
        return self.seconds[-1]

    def _run(self, index: int, raw) -> None:
        model = self.model
        with self._phase('data'):
            data = model.data_preprocessor(raw, True)
        model.backbone.set_arch(self.sampler.sample(index))
        # Phases inside the loss: matching and teacher are methods of the model.
        timed = {}
        for phase, name in (('matching', 'pick_teacher'), ('teacher', 'teach')):
            timed[name] = self._timed(phase, getattr(model, name))
        before = self.phases['matching'] + self.phases['teacher']
        begin = time.perf_counter()
        autocast = torch.autocast(self.args.device, enabled=self.args.amp)
        with mock.patch.multiple(model, **timed), autocast:
            losses = model.loss(data['inputs'], data['data_samples'])
            loss, _ = model.parse_losses(losses)
        self._synchronize()
        inside = self.phases['matching'] + self.phases['teacher'] - before
        self.phases['student'] += time.perf_counter() - begin - inside
        with self._phase('backward'):
            self.optimizer.zero_grad(set_to_none=self.mode != 'baseline')
            loss.backward()
        with self._phase('optimizer'):
            self.optimizer.step()

    @contextmanager
    def _phase(self, name: str):
        begin = time.perf_counter()
        yield
        self._synchronize()
        self.phases[name] += time.perf_counter() - begin

    def _timed(self, phase: str, function):
        def run(*args):
            with self._phase(phase):
                return function(*args)

        return run

    def _synchronize(self) -> None:
        if self.args.device == 'cuda':
            torch.cuda.synchronize()

    @contextmanager
    def _released_operators(self):
        plain = mock.patch.object(mbconv_supernet, 'prefer_channels_last', lambda x: x)
        keep_freed_memory(False)
        with plain, cpu_kernels.disabled():
            yield
        keep_freed_memory()


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


def peak_mb(mode: str, args) -> float:
    """Peak memory of a process that runs one mode alone, in MB (10^6 bytes)."""
    command = [sys.executable, __file__, '--only', mode, '--steps', '2', '--size', str(args.size),
               '--batch', str(args.batch), '--board', str(args.board),
               '--device', args.device]  # fmt: skip
    command += ['--amp'] if args.amp else []
    command += ['--side-precision', args.side_precision] if args.side_precision else []
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split('peak_mb')[1].split()[0])


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
    parser.add_argument('--only', choices=['cream', 'plain', 'baseline'], help=argparse.SUPPRESS)
    parser.add_argument('--json', metavar='FILE', help='write the figures')
    args = parser.parse_args()
    keep_freed_memory()  # as the Runner does
    modes = [args.only] if args.only else ['cream', 'plain'] + ['baseline'] * args.baseline
    steps = {mode: Step(mode, args) for mode in modes}
    raw = dict(
        inputs=torch.randint(0, 256, (args.batch, 3, args.size, args.size), dtype=torch.uint8),
        data_samples=tiny_samples([i % 1000 for i in range(args.batch)]),
    )
    # Warm-up with the same paths: PyTorch compiles a convolution when it first meets its shape, as
    # a search does in its first minute.
    for step in steps.values():
        for index in range(args.steps):
            step.run(index, raw)
        step.forget()
    steps[modes[0]].run(0, raw)  # after the baseline, which gives memory back
    steps[modes[0]].forget()
    ratios = {}
    for other in modes[1:]:
        ratios[other] = in_turns(steps['cream'], steps[other], args.steps, raw)
    if args.only:
        if args.device == 'cuda':
            print('peak_mb', torch.cuda.max_memory_allocated() / 1e6)
        else:
            # Not getrusage: its maximum is inherited from the process that started this one.
            status = Path('/proc/self/status').read_text()
            print('peak_mb', int(status.split('VmHWM:')[1].split()[0]) * 1024 / 1e6)
        return
    report(steps, ratios, args)


def in_turns(cream: Step, other: Step, count: int, raw) -> float:
    """Seconds of a step of ``other`` over one of ``cream``: median over pairs on the same path."""
    pairs = []
    for index in range(count):
        if (
            other.mode == 'baseline'
        ):  # it gave the memory back: a step to take it again, not counted
            before = list(cream.seconds), dict(cream.phases)
            cream.run(index, raw)
            cream.seconds, cream.phases = before
        pairs.append((cream.run(index, raw), other.run(index, raw)))
        done = f'path {index + 1}/{count}: cream {pairs[-1][0]:.2f} s'
        print(f'{done}, {other.mode} {pairs[-1][1]:.2f} s', flush=True)
    return statistics.median(b / a for a, b in pairs)


def report(steps: dict, ratios: dict, args) -> None:
    rate = {m: args.batch / statistics.median(s.seconds) for m, s in steps.items()}
    # Two per multiply-add; a backward pass is two forwards.
    macs = statistics.mean(
        steps['plain'].model.cost_model.cost(steps['plain'].sampler.sample(i)).macs
        for i in range(args.steps)
    )
    gemm = gemm_gflops(args.device)
    share = 2 * macs * 3 * rate['plain'] / 1e9 / gemm
    threads = torch.get_num_threads()
    print(f'\n{platform.processor() or platform.machine()}, {threads} threads, torch '
          f'{torch.__version__}, {args.device}, batch {args.batch} at {args.size}')  # fmt: skip
    print(f'GEMM {gemm:.0f} GFLOP/s; a plain step uses {share:.0%} of it')
    print(f'{"":10s}{"img/s":>8s}  ' + ''.join(f'{p:>11s}' for p in PHASES) + '   ms per step')
    for mode, step in steps.items():
        cells = ''.join(f'{step.mean_ms(p):11.0f}' for p in PHASES)
        print(f'{mode:10s}{rate[mode]:8.2f}  {cells}')
    result = dict(
        size=args.size,
        batch=args.batch,
        board=args.board,
        steps=args.steps,
        device=args.device,
        amp=args.amp,
        side_bf16=steps['cream'].model.auxiliary_bf16,
        threads=threads,
        torch=torch.__version__,
        img_per_s=rate['cream'],
        plain_img_per_s=rate['plain'],
        cream_over_plain_time=1 / ratios['plain'],
        gemm_gflops=gemm,
        gemm_share=share,
        peak_mb=peak_mb('cream', args),
        phases_ms={mode: {p: step.mean_ms(p) for p in PHASES} for mode, step in steps.items()},
    )
    print(f'a cream step takes {result["cream_over_plain_time"]:.2f} plain ones')
    print(f'peak memory {result["peak_mb"]:.0f} MB')
    if 'baseline' in steps:
        result.update(
            baseline_img_per_s=rate['baseline'],
            ratio=ratios['baseline'],
            baseline_peak_mb=peak_mb('baseline', args),
        )
        print(f'baseline peak memory {result["baseline_peak_mb"]:.0f} MB, '
              f'{result["peak_mb"] / result["baseline_peak_mb"]:.2f} of it used')  # fmt: skip
        print(f'{result["ratio"]:.2f} times the img/s of the baseline (median of pairs)')
    if args.json:
        write_json(args.json, result)


if __name__ == '__main__':
    main()
