"""What several GPUs exchange in a step of the search, and how long the search would take on them.

  python benchmarks/scaling.py                                     # bytes, and the predicted table
  python benchmarks/scaling.py --step-seconds 0.2 --batch 256      # with your own measured step
  python benchmarks/scaling.py --measure --json docs/results/scaling.json

Counted on the real model of configs/cream/search_imagenet.py: the gradients of 1000 paths drawn as
in training, and of the whole supernet. Predicted from them and from named inputs: the duration, by
the cost model of docs/scaling.md. --measure also trains a few steps on two processes of this
machine (gloo), through cream_mm.PathDataParallel and through mmengine's wrapper in turns.

--step-seconds is a step on one GPU. Its default is what the published duration implies: 12 GPU-days
for 120 epochs on 8 V100, batch 128 each. It was not measured here.
"""

import argparse
import json
import math
import os
import socket
import statistics
import time
from pathlib import Path

import torch
import torch.multiprocessing as mp
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope

from cream_mm.config.load import load_config
from cream_mm.engine import PathDataParallel
from cream_mm.files import write_json
from cream_mm.methods.cream.meta_matching import path_and_head
from cream_mm.models.layers.init import init_cream_weights
from cream_mm.registry import MODELS, TASK_UTILS
from cream_mm.testing import tiny_samples

CONFIG = Path(__file__).resolve().parents[1] / 'configs/cream/search_imagenet.py'
IMAGES = 1_281_167  # of ImageNet's training set
HELD_OUT = 0.02
PUBLISHED = dict(gpu_days=12, gpus=8, batch=128, epochs=120)


def all_reduce_seconds(num_bytes: float, gpus: int, args) -> float:
    """A ring's volume at the slowest link's bandwidth, and a tree's latency."""
    bandwidth = args.bandwidth_in_node if gpus <= args.gpus_per_node else args.bandwidth
    volume = 2 * (gpus - 1) / gpus * num_bytes
    return volume / bandwidth + 2 * math.ceil(math.log2(gpus)) * args.latency


def search_seconds(gpus: int, num_bytes: float, args) -> float:
    """Wall time of a search; every all-reduce waits for the backward pass."""
    steps = args.epochs * math.ceil(IMAGES * (1 - HELD_OUT) / (gpus * args.batch))
    step = args.step_seconds + all_reduce_seconds(num_bytes, gpus, args)
    rating = math.ceil(args.rated_paths / gpus) * args.rating_seconds
    return steps * step + rating


def published_step_seconds() -> float:
    """Duration of a step that the published GPU-days imply, its communication included."""
    p = PUBLISHED
    steps = p['epochs'] * math.ceil(IMAGES / (p['gpus'] * p['batch']))
    return p['gpu_days'] * 86400 / p['gpus'] / steps


def build(size: int = 224):
    """Model and sampler of the config."""
    cfg = load_config(str(CONFIG), {'input_size': size}, check_data=False)
    if size != 224:
        cfg.model.budget = {}
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg.model)
    init_cream_weights(model)
    settings = dict(space=model.backbone.space, budget=model.budget, seed=0)
    return model, TASK_UTILS.build({**cfg.train_cfg.sampler, **settings})


def path_bytes(model) -> int:
    """Bytes of the gradients of the current path and the head."""
    return sum(p.numel() * p.element_size() for p in path_and_head(model).values())


def count(num_paths: int) -> dict:
    model, sampler = build()
    sizes = []
    for step in range(num_paths):
        model.backbone.set_arch(sampler.sample(step))
        sizes.append(path_bytes(model))
    parts = (*model.backbone.parameters(), *model.head.parameters())
    whole = sum(p.numel() * p.element_size() for p in parts)
    return dict(
        paths=num_paths, path_bytes=round(statistics.mean(sizes)), path_bytes_min=min(sizes),
        path_bytes_max=max(sizes), supernet_bytes=whole,
    )  # fmt: skip


# ---- measured on two processes -----------------------------------------------------------------


def measure_rank(rank: int, port: int, steps: int, path: str) -> None:
    os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    torch.distributed.init_process_group('gloo', rank=rank, world_size=2)
    torch.set_num_threads(1)
    runs = {}
    for name in ('path', 'supernet'):
        torch.manual_seed(0)
        model, sampler = build(size=64)
        model.train()
        sent = [0]
        if name == 'path':
            wrapper = PathDataParallel(model)
        else:
            wrapper = MMDistributedDataParallel(
                model, device_ids=None, broadcast_buffers=False, find_unused_parameters=True
            )
            wrapper.register_comm_hook(sent, counting_all_reduce)
        optimizer = OptimWrapper(torch.optim.SGD(wrapper.parameters(), lr=1e-3, momentum=0.9))
        runs[name] = (wrapper, sampler, optimizer, sent, [])
    inputs = list(torch.randint(0, 256, (8, 3, 64, 64), dtype=torch.uint8))
    samples = tiny_samples(range(8))
    for step in range(steps + 1):
        for name, (wrapper, sampler, optimizer, sent, seconds) in runs.items():
            wrapper.module.backbone.set_arch(sampler.sample(step))
            torch.distributed.barrier()
            start = time.perf_counter()
            wrapper.train_step(dict(inputs=inputs, data_samples=samples), optimizer)
            seconds.append(time.perf_counter() - start)
            if name == 'path':
                sent[0] += path_bytes(wrapper.module)
    if rank == 0:
        result = {
            name: dict(
                step_seconds=statistics.median(seconds[1:]), bytes_per_step=sent[0] / (steps + 1)
            )
            for name, (*_, sent, seconds) in runs.items()
        }
        Path(path).write_text(json.dumps(result))
    torch.distributed.destroy_process_group()


def counting_all_reduce(sent: list, bucket):
    from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook

    sent[0] += bucket.buffer().numel() * bucket.buffer().element_size()
    return allreduce_hook(None, bucket)


def measure(steps: int) -> dict:
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    path = f'/tmp/scaling-{os.getpid()}.json'
    mp.start_processes(measure_rank, (port, steps, path), 2, start_method='spawn')
    result = json.loads(Path(path).read_text())
    os.unlink(path)
    return dict(result, processes=2, backend='gloo', size=64, batch=8, steps=steps, board=0)


# ---- the table ---------------------------------------------------------------------------------


def table(volumes: dict, args) -> list[dict]:
    rows = []
    for gpus in (8, 16, 32, 64, 128, 256):
        row = dict(gpus=gpus, global_batch=gpus * args.batch)
        for name in ('path', 'supernet'):
            size = volumes[f'{name}_bytes']
            seconds = search_seconds(gpus, size, args)
            row[name] = dict(
                all_reduce_ms=1e3 * all_reduce_seconds(size, gpus, args),
                hours=seconds / 3600,
                gpu_days=gpus * seconds / 86400,
            )
        rows.append(row)
    return rows


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    cfg = load_config(str(CONFIG), check_data=False)
    add = parser.add_argument
    add(
        '--step-seconds',
        type=float,
        default=published_step_seconds(),
        help='a step on one GPU; default: %(default).3f, what the published duration implies',
    )
    add('--batch', type=int, default=cfg.batch_size, help='images per GPU, of that step')
    add('--epochs', type=int, default=cfg.max_epochs)
    add('--gpus-per-node', type=int, default=8)
    add('--bandwidth-in-node', type=float, default=50e9, help='bytes/s; assumed: %(default).3g')
    add(
        '--bandwidth',
        type=float,
        default=12.5e9,
        help='bytes/s between nodes; assumed: %(default).3g, a link of 100 Gbit/s',
    )
    add('--latency', type=float, default=20e-6, help='s per hop; assumed: %(default).3g')
    add(
        '--rating-seconds',
        type=float,
        default=30.0,
        help='to rate one path, 2048 + 5000 images without gradient; assumed: %(default).3g',
    )
    add('--rated-paths', type=int, default=cfg.model.board.capacity + cfg.test_cfg.num_random)
    add('--paths', type=int, default=1000, help='how many to count')
    add('--measure', action='store_true', help='also train on two processes here')
    add('--steps', type=int, default=10, help='that --measure times')
    add('--json', help='write the result there')
    return parser.parse_args(argv)  # fmt: skip


def main(argv=None) -> None:
    args = parse_args(argv)
    volumes = count(args.paths)
    mb = {key: value / 1e6 for key, value in volumes.items()}
    print(
        f'gradients of a path: {mb["path_bytes"]:.1f} MB (mean of {args.paths} paths, '
        f'{mb["path_bytes_min"]:.1f} to {mb["path_bytes_max"]:.1f}); of the supernet: '
        f'{mb["supernet_bytes"]:.1f} MB'
    )
    measured = None
    if args.measure:
        measured = measure(args.steps)
        for name in ('path', 'supernet'):
            part = measured[name]
            print(f'measured, 2 processes with gloo: {name:8s} {part["bytes_per_step"] / 1e6:6.1f} '
                  f'MB and {part["step_seconds"]:.2f} s a step')  # fmt: skip
    rows = table(volumes, args)
    print(f'\nPredicted, {args.epochs} epochs of ImageNet, {args.step_seconds:.3f} s a step')
    print('GPUs  global batch   all-reduce ms        hours             GPU-days')
    print('                     path   supernet   path   supernet   path   supernet')
    for row in rows:
        path, supernet = row['path'], row['supernet']
        print(
            f'{row["gpus"]:4d}  {row["global_batch"]:12d}  '
            + '  '.join(
                f'{path[key]:6.2f}  {supernet[key]:7.2f}'
                for key in ('all_reduce_ms', 'hours', 'gpu_days')
            )
        )
    if args.json:
        inputs = {k: v for k, v in vars(args).items() if k not in ('json', 'measure')}
        content = dict(counted=volumes, measured=measured, inputs=inputs, predicted=rows)
        write_json(args.json, content)


if __name__ == '__main__':
    main()
