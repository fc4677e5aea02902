"""Throughput and memory of the search on one GPU: a training step, and the rating of a path.

  python benchmarks/gpu.py                                  # 224 px; batches 32, 64, 128
  python benchmarks/gpu.py --batch 128 256 --json gpu.json

For each batch size, with and without mixed precision, in images per second and GB of peak memory:
  cream   a step as configs/cream/search_imagenet.py trains it, with a full board
  plain   the same supernet, single-path training without a board
  rating  a path without gradients, batch norm by the batch: what a rating does, decoding left out

Images are on the GPU before the clock starts. Not run here yet: no GPU was lent to this
repository. Without one it says so and ends with 1.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import torch
from search_model import build_search

from cream_mm.files import write_json
from cream_mm.models.layers.bn_policy import batch_stats
from cream_mm.search import PathSampler
from cream_mm.structures.randomness import named_rng
from cream_mm.testing import tiny_samples

CONFIG = 'configs/cream/search_imagenet.py'
MODES = ('cream', 'plain', 'rating')


class Work:
    """A model with its optimizer, and what is timed of it."""

    def __init__(self, mode: str, size: int, batch: int, amp: bool, device: str = 'cuda'):
        options = {'input_size': size, 'model.side_precision': 'float32'}
        self.model = build_search(CONFIG, options, budget=False, board=mode == 'cream')
        self.model.to(device)
        self.mode, self.batch, self.amp, self.device = mode, batch, amp, device
        space = self.model.backbone.space
        self.sampler = PathSampler(space, self.model.budget, seed=0)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1e-3, momentum=0.9)
        self.scaler = torch.cuda.amp.GradScaler(enabled=amp)
        self.images = torch.randn(batch, 3, size, size, device=device)
        self.samples = [s.to(device) for s in tiny_samples([i % 1000 for i in range(batch)])]
        board = self.model.board
        for i in range(board.capacity if board is not None else 0):
            images = torch.randn(board.num_images, 3, size, size, device=device)
            targets = torch.rand(board.num_images, 1000, device=device).softmax(1)
            board.offer(space.sample(named_rng('board', 0, i)), 50.0 - i, images, targets)

    def run(self, step: int) -> None:
        """One step, or one batch of a rating."""
        model = self.model
        model.backbone.set_arch(self.sampler.sample(step))
        with torch.autocast(self.device, enabled=self.amp):
            if self.mode == 'rating':
                with torch.no_grad(), batch_stats(model.backbone.path_modules()):
                    model(self.images)
                return
            loss, _ = model.parse_losses(model.loss(self.images, self.samples))
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()


def measure(work: Work, steps: int, synchronize: Callable[[], None]) -> float:
    """Images per second: the median of three runs over the same paths, after one to warm up."""
    seconds = []
    for _ in range(4):
        synchronize()
        begin = time.perf_counter()
        for step in range(steps):
            work.run(step)
        synchronize()
        seconds.append(time.perf_counter() - begin)
    return steps * work.batch / statistics.median(seconds[1:])


def measure_on_gpu(mode: str, size: int, batch: int, amp: bool, steps: int) -> dict | None:
    """Throughput and peak memory; None where the card has too little."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    try:
        images_per_second = measure(Work(mode, size, batch, amp), steps, torch.cuda.synchronize)
    except torch.cuda.OutOfMemoryError:
        return None
    peak_gb = torch.cuda.max_memory_allocated() / 1e9
    return dict(images_per_second=round(images_per_second, 1), peak_gb=round(peak_gb, 2))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--size', type=int, default=224, help='side of the images in pixels')
    parser.add_argument('--batch', type=int, nargs='+', default=[32, 64, 128])
    parser.add_argument('--steps', type=int, default=20, help='timed steps, three times')
    parser.add_argument('--json', metavar='FILE', help='write the figures')
    args = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit('error: no CUDA device here; benchmarks/supernet_step.py measures on a CPU')
    card = torch.cuda.get_device_name()
    print(f'{card}, torch {torch.__version__}, CUDA {torch.version.cuda}, {args.size} px')
    print(f'{"mode":8}{"batch":>6}{"amp":>6}{"img/s":>10}{"peak GB":>9}')
    rows = []
    for mode in MODES:
        for batch in args.batch:
            for amp in (False, True):
                found = measure_on_gpu(mode, args.size, batch, amp, args.steps)
                rows.append(dict(mode=mode, batch=batch, amp=amp, **(found or {})))
                begin = f'{mode:8}{batch:6}{"yes" if amp else "no":>6}'
                end = 'out of memory' if found is None else (
                    f'{found["images_per_second"]:10.1f}{found["peak_gb"]:9.2f}'
                )  # fmt: skip
                print(f'{begin}  {end}' if found is None else f'{begin}{end}', flush=True)
    if args.json:
        write_json(args.json, dict(card=card, torch=torch.__version__, size=args.size, rows=rows))


if __name__ == '__main__':
    main()
