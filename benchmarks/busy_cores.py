"""What other work on the same cores costs a training step, beside a plain PyTorch step.

  python benchmarks/busy_cores.py --json docs/results/busy_cores.json
  python benchmarks/busy_cores.py --steps demo --modes cream plain

Steps: `demo` (configs/demo/search_digits.py: 28 px, batch 32) and `64` (configs/cream/
search_imagenet.py at 64 px, batch 64). Modes:
  cream    a search step as the tools run it
  spinning the same under OpenMP's own waiting policy, on as many threads as there are cores
  plain    torchvision's MobileNetV2 of like width, PyTorch alone, under OpenMP's own policy
Each is timed alone, beside one and two processes that only count, and beside one and two copies of
itself. Every record is written as it comes.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STEPS = dict(
    demo=dict(config='configs/demo/search_digits.py', size=28, batch=32, classes=10, width=0.5),
    **{'64': dict(config='configs/cream/search_imagenet.py', size=64, batch=64, classes=1000,
                  width=1.0)},
)  # fmt: skip
BUSY = 'while True: pass'


def worker(mode: str, about: dict) -> None:
    """Warm up, then answer each number of seconds on stdin with the milliseconds of a step."""
    if mode == 'cream':
        from cream_mm.wait_policy import wait_briefly

        assert wait_briefly(), 'torch is there already, or the environment says otherwise'
    import torch

    from cream_mm.ops import keep_freed_memory

    torch.manual_seed(0)
    if mode == 'plain':
        step = plain_step(about)
    else:
        keep_freed_memory()
        step = cream_step(about, threads=mode == 'cream')
    for index in range(8):
        step(index)
    print('ready', flush=True)
    for line in sys.stdin:
        end, times = time.perf_counter() + float(line), []
        while time.perf_counter() < end or len(times) < 2:
            begin = time.perf_counter()
            step(len(times) % 8)
            times.append(time.perf_counter() - begin)
        print(statistics.mean(times) * 1e3, flush=True)


def cream_step(about: dict, threads: bool):
    import torch
    from mmengine.config import Config
    from search_model import build_search

    from cream_mm.search import PathSampler
    from cream_mm.testing import tiny_samples

    options = dict(input_size=about['size']) if about['size'] == 64 else {}
    number = Config.fromfile(str(ROOT / about['config'])).env_cfg.get('num_threads')
    if threads and number:
        torch.set_num_threads(number)
    model = build_search(about['config'], options)
    sampler = PathSampler(model.backbone.space, model.budget, seed=0)
    board = model.board
    for i in range(board.capacity):
        images = torch.randn(board.num_images, 3, about['size'], about['size'])
        targets = torch.rand(board.num_images, about['classes']).softmax(1)
        board.offer(sampler.sample(1000 + i), 50.0 - i, images, targets)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    size, batch = about['size'], about['batch']
    raw = dict(
        inputs=torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8),
        data_samples=tiny_samples([i % 10 for i in range(batch)]),
    )

    def step(index: int) -> None:
        data = model.data_preprocessor(raw, True)
        model.backbone.set_arch(sampler.sample(index))
        loss, _ = model.parse_losses(model.loss(data['inputs'], data['data_samples']))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def plain_step(about: dict):
    import torch
    import torchvision

    net = torchvision.models.mobilenet_v2(
        num_classes=about['classes'], width_mult=about['width']
    ).train()
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9)
    images = torch.randn(about['batch'], 3, about['size'], about['size'])
    labels = torch.arange(about['batch']) % 10

    def step(index: int) -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(images), labels).backward()
        optimizer.step()

    return step


def measure(mode: str, name: str, seconds: float) -> dict[str, float]:
    """Milliseconds of a step alone and beside others; beside copies, their mean."""
    command = [sys.executable, __file__, '--worker', mode, '--steps', name]
    workers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    busy = []
    try:
        for process in workers:
            while (line := process.stdout.readline()).strip() != 'ready':
                if not line:
                    raise RuntimeError(f'a step of {mode} has failed')
        times = dict(alone=_time(workers[:1], seconds))
        times['one copy'] = _time(workers[:2], seconds)
        times['two copies'] = _time(workers, seconds)
        for load in ('one busy', 'two busy'):
            busy.append(subprocess.Popen([sys.executable, '-c', BUSY]))
            times[load] = _time(workers[:1], seconds)
        return times
    finally:
        for process in workers + busy:
            process.kill()
            process.wait()


def _time(workers: list, seconds: float) -> float:
    for process in workers:
        process.stdin.write(f'{seconds}\n')
        process.stdin.flush()
    return statistics.mean(float(process.stdout.readline()) for process in workers)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--steps', nargs='+', choices=list(STEPS), default=list(STEPS))
    parser.add_argument('--modes', nargs='+', default=['cream', 'spinning', 'plain'],
                        choices=['cream', 'spinning', 'plain'])  # fmt: skip
    parser.add_argument('--seconds', type=float, default=6, help='of each figure')
    parser.add_argument('--json', metavar='FILE', help='add the records, one line each')
    parser.add_argument('--worker', metavar='MODE', help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        worker(args.worker, STEPS[args.steps[0]])
        return
    for name in args.steps:
        for mode in args.modes:
            times = measure(mode, name, args.seconds)
            alone = times['alone']
            cells = [f'{k} {v:.0f} ms ({v / alone:.1f})' for k, v in times.items()]
            print(f'{name:5s}{mode:9s}{", ".join(cells)}', flush=True)
            if args.json:
                about = dict(step=name, mode=mode, ms=times, cores=os.cpu_count(),
                             machine=platform.machine())  # fmt: skip
                with open(args.json, 'a') as file:
                    file.write(json.dumps(about) + '\n')


if __name__ == '__main__':
    main()
