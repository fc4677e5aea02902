"""How many images a second does one core read, decode and augment, and where does its time go?

  python benchmarks/data_pipeline.py --data-root FOLDER --json docs/results/data_pipeline.json
  python benchmarks/data_pipeline.py --data-root data/cifar10 --input-size 32 --img-per-s 5000
  python benchmarks/data_pipeline.py            # generated photographs of 500 x 375 pixels

One process, one thread; all times are CPU time of the process (time.process_time), so that other
processes do not count. Files are read once before: the disk is not measured. For each config:
  decoders   OpenCV and Pillow behind LoadImage, and others where they are installed, in turns
  seeds      of a sample, and of a step with the generators of all devices
  stages     the seeds of a sample, each transform of the train pipeline, and collecting a batch
  whole      the pipeline as a worker runs it, from folders and, where --pack, from a packed copy
"""

import argparse
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, init_default_scope
from PIL import Image

from cream_mm.command_line import one_line_errors
from cream_mm.config.load import load_config
from cream_mm.datasets.prepare_images import prepare_images
from cream_mm.datasets.seeded import SeededSamples
from cream_mm.datasets.transforms.load_image import _decode_by_pillow, decode_image
from cream_mm.files import write_json
from cream_mm.structures.randomness import seed_generators

CONFIGS = Path(__file__).resolve().parents[1] / 'configs/cream'


def write_photographs(root: Path, count: int) -> None:
    """JPEGs of 500 x 375 pixels with structure at all scales, as photographs have."""
    for i in range(count):
        rng = np.random.default_rng([0, i])
        pixels = np.full((375, 500, 3), 128.0)
        for level in range(8):  # amplitude grows with the size of a detail: a 1/f spectrum
            grid = rng.normal(0, 4 * 1.5**level, (375 // 2**level + 2, 500 // 2**level + 2, 3))
            pixels += cv2.resize(grid, (500, 375), interpolation=cv2.INTER_CUBIC)
        folder = root / 'train' / 'ab'[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
        image.save(folder / f'{i:04d}.jpg', quality=90)
    (root / 'val').symlink_to('train')


def decoders() -> dict[str, Callable[[bytes], np.ndarray]]:
    """Name -> a function from the bytes of a JPEG to BGR."""

    def first_version(content: bytes) -> np.ndarray:
        with Image.open(BytesIO(content)) as image:
            return np.ascontiguousarray(np.asarray(image.convert('RGB'))[..., ::-1])

    def by_opencv(flag: int) -> Callable[[bytes], np.ndarray]:
        return lambda content: cv2.imdecode(np.frombuffer(content, np.uint8), flag)

    found = {
        'LoadImage': decode_image,
        'Pillow': _decode_by_pillow,
        'Pillow, channels turned by numpy': first_version,
        'OpenCV, unchecked': by_opencv(cv2.IMREAD_COLOR),
        'OpenCV, half size': by_opencv(cv2.IMREAD_REDUCED_COLOR_2),
    }
    with suppress(ImportError):
        import simplejpeg

        found['simplejpeg'] = lambda content: simplejpeg.decode_jpeg(content, colorspace='BGR')
    with suppress(ImportError, OSError, RuntimeError):
        from turbojpeg import TurboJPEG

        found['PyTurboJPEG'] = TurboJPEG(os.environ.get('TURBOJPEG')).decode
    return found


def time_decoders(contents: list[bytes], rounds: int) -> dict[str, float]:
    """Microseconds an image: median of the rounds, decoders in turns."""
    functions, times = decoders(), defaultdict(list)
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.process_time()
            for content in contents:
                function(content)
            times[name].append((time.process_time() - start) / len(contents) * 1e6)
    return {name: statistics.median(values) for name, values in times.items()}


def time_seeds(count: int = 1000) -> dict[str, float]:
    """Microseconds of seeding, for a sample and, with the devices, for a step."""
    times = {}
    for name, devices in (('of a sample', False), ('of a step', True)):
        start = time.process_time()
        for i in range(count):
            seed_generators('sample', 0, 0, i, devices=devices)
        times[name] = (time.process_time() - start) / count * 1e6
    return times


def time_stages(dataset, indices: list[int]) -> dict[str, float]:
    """Mean microseconds a sample of each stage."""
    times = defaultdict(float)

    def timed(name: str, function: Callable, *args):
        start = time.process_time()
        result = function(*args)
        times[name] += (time.process_time() - start) / len(indices) * 1e6
        return result

    samples = []
    for index in indices:
        timed('seeds', lambda i=index: seed_generators('sample', 0, 0, i, devices=False))
        results = timed('index', dataset.get_data_info, index)
        if dataset.packed is not None:
            results['img'] = timed('packed image', dataset.packed.__getitem__, results['row'])
        for transform in dataset.pipeline.transforms:
            results = timed(type(transform).__name__, transform, results)
        samples.append(results)
    for start in range(0, len(samples), 32):
        timed('collate', pseudo_collate, samples[start : start + 32])
    return dict(times)


def time_whole(dataset, indices: list[int]) -> float:
    """Microseconds a sample, as a worker of a loader draws it."""
    draw = SeededSamples(dataset, seed=0)
    start = time.process_time()
    for at in range(0, len(indices), 32):
        pseudo_collate(draw(indices[at : at + 32]))
    return (time.process_time() - start) / len(indices) * 1e6


def measure(config: str, roots: dict[str, Path], args) -> dict:
    """All figures of one config; ``roots`` are in turns."""
    init_default_scope('mmpretrain')
    sets, wholes, stages = {}, defaultdict(list), defaultdict(list)
    for name, root in roots.items():
        options = dict(data_root=str(root), input_size=args.input_size)
        cfg = load_config(str(CONFIGS / f'{config}.py'), options)
        sets[name] = DATASETS.build(cfg.train_dataloader.dataset)
    for number in range(args.rounds + 1):
        for name, dataset in sets.items():
            indices = [(number * args.images + i) % len(dataset) for i in range(args.images)]
            whole, stage = time_whole(dataset, indices), time_stages(dataset, indices)
            if number:  # the first is a warm-up
                wholes[name].append(whole)
                stages[name].append(stage)
    return {
        name: dict(
            whole_us=statistics.median(wholes[name]),
            img_per_s_per_core=1e6 / statistics.median(wholes[name]),
            stages_us={k: statistics.median(s[k] for s in stages[name]) for k in stages[name][0]},
        )
        for name in sets
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--config',
        nargs='+',
        default=['search_imagenet', 'retrain_imagenet'],
        help='names in configs/cream (default: %(default)s)',
    )
    parser.add_argument('--data-root', type=Path, help='an image folder; default: generated')
    parser.add_argument('--input-size', type=int, default=224)
    parser.add_argument('--images', type=int, default=200, help='images of a round')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--pack', action='store_true', help='measure a packed copy too')
    parser.add_argument('--img-per-s', type=float, help='of your training step: cores to feed it')
    parser.add_argument('--json', metavar='FILE', help='write the figures')
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    with tempfile.TemporaryDirectory() as folder:
        root = args.data_root
        if root is None:
            print('no --data-root: generated images of 500 x 375 pixels')
            root = Path(folder, 'generated')
            write_photographs(root, min(args.images, 100))
        roots = {'folders': root}
        if args.pack:
            roots['packed'] = Path(folder, 'packed')
            prepare_images(root, roots['packed'], pack=True)
        report(root, roots, args)


def report(root: Path, roots: dict[str, Path], args) -> None:
    paths = sorted(p for p in root.glob('train/*/*') if p.suffix.lower() in ('.jpg', '.jpeg'))
    contents = [path.read_bytes() for path in paths[:: max(1, len(paths) // args.images)]]
    contents = contents[: args.images]
    result = dict(
        images=args.images, rounds=args.rounds, input_size=args.input_size,
        generated=args.data_root is None, opencv=cv2.__version__, torch=torch.__version__,
        decoders_us=time_decoders(contents, args.rounds) if contents else {},
        seeds_us=time_seeds(),
        configs={config: measure(config, roots, args) for config in args.config},
    )  # fmt: skip
    print(f'\nmicroseconds of CPU time an image; OpenCV {cv2.__version__}')
    for name, value in result['decoders_us'].items():
        print(f'  {name:34s}{value:8.0f}')
    for name, value in result['seeds_us'].items():
        print(f'  {"seeds " + name:34s}{value:8.0f}')
    for config, kinds in result['configs'].items():
        for kind, figures in kinds.items():
            print(f'\n{config}, {kind}: {figures["img_per_s_per_core"]:.0f} img/s per core')
            for name, value in (*figures['stages_us'].items(), ('whole', figures['whole_us'])):
                print(f'  {name:34s}{value:8.0f}')
            if args.img_per_s:
                cores = args.img_per_s / figures['img_per_s_per_core']
                print(f'  {args.img_per_s:.0f} img/s need {cores:.1f} cores')
    if args.json:
        write_json(args.json, result)


if __name__ == '__main__':
    with one_line_errors():
        main()
