"""Do random networks say the same as ONNX? And what int8 costs: docs/results/onnx.md.

  python benchmarks/onnx_parity.py                    # what is missing of 200 networks a space
  python benchmarks/onnx_parity.py --only nao --networks 20
  python benchmarks/onnx_parity.py --int8 WORK_DIR --name 'Lite0, photographs'    # trained
  python benchmarks/onnx_parity.py --page             # docs/results/onnx.md from the records

Each network is a classifier with random weights, exported with open batch and size, and run by
onnxruntime on batches of different images at two sizes, one of them odd. It adds one line to
docs/results/onnx.jsonl; all goes on after a kill. Networks of all spaces come in turns.
"""

import argparse
import copy
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from torch import nn

from cream_mm.apis.create_model import create_model
from cream_mm.apis.export_onnx import onnx_bytes
from cream_mm.command_line import one_line_errors
from cream_mm.deploy.classifier import PROBABILITIES, graph_of
from cream_mm.deploy.parity import LIMIT, noise
from cream_mm.deploy.runtimes import onnxruntime_session
from cream_mm.files import Dropped, append_lines, mend_lines, read_json_lines, write_whole
from cream_mm.spaces import build_space
from cream_mm.structures.randomness import named_rng, weights_drawn

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / 'docs/results/onnx.jsonl'
PAGE = ROOT / 'docs/results/onnx.md'
SPACES = {
    'cream': ('cream', (64, 64), (75, 53)), 'lite0': ('lite0', (64, 64), (75, 53)),
    'nas_bench_macro': ('nas_bench_macro', (32, 32), (41, 27)),
    'dna': ('dna', (64, 64), (75, 53)),
    'nas_bench_201': (dict(type='NASBench201Space', channels=8, num_cells=1), (32, 32), (41, 27)),
    'nao': (dict(type='NAOSpace', channels=12, num_cells=1), (32, 32), (41, 27)),
}  # fmt: skip
"""Space, and the two sizes (H, W): the one that is traced, and another."""
NETWORKS = 200
IMAGES = 3  # in a batch, different ones
FITTED = 16  # for batch norm
CLASSES = 10
RATED = 630  # images of the validation set, for int8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--only', nargs='+', choices=list(SPACES), help='spaces; default: all')
    parser.add_argument('--networks', type=int, default=NETWORKS, help='of a space; %(default)s')
    parser.add_argument('--minutes', type=float, help='stop before the next network after so many')
    parser.add_argument('--int8', metavar='WORK_DIR', help='of a trained network: float32, int8')
    parser.add_argument('--name', default='a network', help='of that network, for the page')
    parser.add_argument('--page', action='store_true', help='write the page from the records')
    args = parser.parse_args()
    if args.page:
        write_whole(PAGE, page(records()).encode())
        print(PAGE)
    elif args.int8:
        for record in compare_settings(args.int8, args.name):
            add(record)
    else:
        run(args.only or list(SPACES), args.networks, args.minutes)


def records() -> list[dict]:
    return [entry for _, entry in read_json_lines(RESULTS, Dropped())] if RESULTS.is_file() else []


def add(record: dict) -> None:
    if RESULTS.is_file():
        mend_lines(RESULTS)
    append_lines(RESULTS, [json.dumps(record, separators=(',', ':'))])


# ---- random networks -----------------------------------------------------------------------------


def run(spaces: list[str], networks: int, minutes: float | None) -> None:
    init_default_scope('mmpretrain')
    start = time.monotonic()
    done = {(r['space'], r['number']) for r in records() if r['kind'] == 'parity'}
    for number in range(networks):
        for name in spaces:
            if (name, number) in done:
                continue
            if minutes is not None and time.monotonic() - start > 60 * minutes:
                print('stopped: the time is up; the next call goes on', flush=True)
                return
            record = parity(name, number)
            add(record)
            print(*record.values(), flush=True)


def parity(name: str, number: int) -> dict[str, Any]:
    """The record of one random network."""
    start = time.process_time()
    space, *sizes = SPACES[name]
    space = build_space(space)
    arch = space.sample(named_rng('onnx_parity', number, 0))
    model = make_model(arch, space, sizes[0])
    graph, names = graph_of(model)
    content = onnx_bytes(
        graph, (2, 3, *sizes[0]), input_names=['image'], output_names=names, dynamic_batch=True,
        dynamic_size=True,
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix='cream_mm-') as folder:
        file = Path(folder, 'model.onnx')
        file.write_bytes(content)
        runtime = onnxruntime_session(file, threads=1)
    found = [compare(model, runtime, size) for size in sizes]
    differences, spreads, own = zip(*found)
    return dict(
        kind='parity', space=name, number=number, arch=space.format(arch),
        difference=float(f'{max(differences):.2g}'), own_error=float(f'{max(own):.2g}'),
        spread=float(f'{min(spreads):.2g}'),
        mb=round(len(content) / 1e6, 2), cpu_s=round(time.process_time() - start, 2),
    )  # fmt: skip


def make_model(arch: Any, space: Any, size: tuple[int, int]) -> BaseModel:
    """A classifier with random weights that says different things of different images."""
    with weights_drawn(0):
        model = create_model(arch, num_classes=CLASSES, space=space.to_dict())
    x = model.data_preprocessor(dict(inputs=bgr(noise(FITTED, size))))['inputs']
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # an average over all that it sees
            module.reset_running_stats()
    with torch.no_grad():
        model.train()
        model.head(model.extract_feat(x))
        model.eval()
        # As drawn, it says nearly 1 in 10 of each class, and any mistake would be small.
        logits = model.head(model.extract_feat(x))
        scale = logits.std(0).mean()
        model.head.classifier.weight /= scale
        model.head.classifier.bias.copy_((model.head.classifier.bias - logits.mean(0)) / scale)
    return model


def bgr(images: np.ndarray) -> list[torch.Tensor]:
    """(N, H, W, 3), RGB -> what a pipeline gives."""
    return list(torch.from_numpy(np.ascontiguousarray(images[..., ::-1].transpose(0, 3, 1, 2))))


def compare(model: BaseModel, runtime: Any, size: tuple[int, int]) -> tuple[float, float, float]:
    """Largest difference of probabilities, of different images at once and each alone; how much the
    model's own answers to them differ at least; and how far they are from those in float64."""
    images = noise(IMAGES, size)
    with torch.no_grad():  # by its own preprocessor and head, not by the exported graph
        x = model.data_preprocessor(dict(inputs=bgr(images)))['inputs']
        theirs = model.head(model.extract_feat(x)).softmax(1).numpy()
        double = copy.deepcopy(model).double()
        exact = double.head(double.extract_feat(x.double())).softmax(1).numpy()
    pixels = np.ascontiguousarray(images.transpose(0, 3, 1, 2), dtype=np.float32)
    ours = runtime(pixels)[PROBABILITIES]
    turned = runtime(pixels[::-1].copy())[PROBABILITIES][::-1]
    alone = np.concatenate([runtime(one[None])[PROBABILITIES] for one in pixels])
    difference = max(float(np.abs(found - theirs).max()) for found in (ours, turned, alone))
    pairs = [(i, j) for i in range(IMAGES) for j in range(i)]
    apart = min(float(np.abs(theirs[i] - theirs[j]).max()) for i, j in pairs)
    return difference, apart, float(np.abs(theirs - exact).max())


# ---- int8 ----------------------------------------------------------------------------------------


def compare_settings(work_dir: str, name: str) -> Iterator[dict[str, Any]]:
    """Records of a trained network: float32 against int8 as it is by default, and otherwise."""
    from cream_mm.apis.predict import open_model
    from cream_mm.deploy.calibration import CalibrationImages
    from cream_mm.deploy.describe import describe, onnx_content
    from cream_mm.deploy.describe import graph_of as graph_for
    from cream_mm.deploy.int8_check import compare_int8, lines_of
    from cream_mm.deploy.int8_file import quantize

    model = open_model(work_dir, device='cpu')
    about, _ = describe(model)
    about['input']['dynamic'].append('batch')
    graph, names = graph_for(model, about)
    with tempfile.TemporaryDirectory(prefix='cream_mm-') as folder:
        before, after = Path(folder, 'model.onnx'), Path(folder, 'int8.onnx')
        before.write_bytes(onnx_content(graph, names, about))
        for setting, (images, options) in SETTINGS.items():
            chosen = CalibrationImages(model.cfg, about, images)
            quantize(before, after, chosen, **options)
            found = compare_int8(before, after, model.cfg, about, number=RATED)
            print(setting, *lines_of(found), sep='\n', flush=True)
            yield dict(kind='int8', network=name, setting=setting, calibrated=images, **found)


SETTINGS: dict[str, tuple[int, dict]] = {
    'int8': (300, {}),
    'int8, 30 images': (30, {}),
    'int8, one scale per tensor': (300, dict(per_channel=False)),
    'int8, weights of 7 bits': (300, dict(reduce_range=True)),
}


# ---- the page ------------------------------------------------------------------------------------


def page(found: list[dict]) -> str:
    lines = [HEAD]
    for name in SPACES:
        rows = [r for r in found if r['kind'] == 'parity' and r['space'] == name]
        if not rows:
            continue
        sizes = ' and '.join(f'{h} x {w}' for h, w in SPACES[name][1:])
        bad = sum(not r['difference'] <= LIMIT for r in rows)
        lines.append(
            f'| {name} | {len(rows)} | {sizes} | {max(r["difference"] for r in rows):.1e} | '
            f'{statistics.median(r["difference"] for r in rows):.1e} | '
            f'{statistics.median(r["spread"] for r in rows):.2f} | {bad} | '
            f'{max(r["difference"] / max(r["own_error"], LIMIT) for r in rows):.1f} |'
        )
    lines.append(INT8)
    for network in dict.fromkeys(r['network'] for r in found if r['kind'] == 'int8'):
        rows = {r['setting']: r for r in found if r['kind'] == 'int8' and r['network'] == network}
        first = next(iter(rows.values()))
        lines += [
            f'\n{network}: {first["images"]} validation images, {first["input"][2]} x '
            f'{first["input"][3]} pixels; latency of one image in {first["threads"]} thread of an '
            f'{first["processor"]}, {first["runtime"]}.\n',
            f'| file | {first["metric"]}, % | points | latency, ms | times as fast | MB |',
            '|---|---|---|---|---|---|',
            f'| float32 | {first["pct"][0]:.2f} | | {first["ms"][0]:.2f} | 1 | {first["mb"][0]} |',
        ]
        for setting, r in rows.items():
            lines.append(
                f'| {setting} | {r["pct"][1]:.2f} | {-r["drop"]:+.2f} | {r["ms"][1]:.2f} | '
                f'{r["ms"][0] / r["ms"][1]:.2f} | {r["mb"][1]} |'
            )
    return '\n'.join(lines) + '\n'


HEAD = f"""# ONNX: random networks, and what int8 costs

`benchmarks/onnx_parity.py` writes this page from the records of `docs/results/onnx.jsonl`.
How to export: [deploy.md](../deploy.md).

## Random networks

Classifiers with random weights, their batch norm fitted, exported with open batch and size, and run
by onnxruntime at its default level of optimisation. PyTorch answers through the model's own
preprocessor and head. {IMAGES} different images, as one batch, in the other order and each alone;
at two sizes. *Difference* is that of probabilities, the largest of all; the files of a user may
differ by {LIMIT:.0e}, or by ten times what the model itself in float32 is from itself in float64.
*Beyond* is the largest difference in parts of that error, or of {LIMIT:.0e} if the error is less.
*Answers differ* is by how much the probabilities of two images differ at least, in the median of
the networks: a file that mixes up images would be off by that.

| space | networks | sizes | largest difference | median | answers differ | > {LIMIT:.0e} | beyond |
|---|---|---|---|---|---|---|---|"""
INT8 = """
## int8

Static quantization by onnxruntime of trained networks, as `tools/export_onnx.py WORK_DIR --int8`
does it: activations of 8 bits by their range on 300 training images, or all of a smaller set,
weights of 8 bits with a scale for each channel; the last layers and what is behind them stay in
float32. *Points* are lost or won beside float32. Times are taken beside those of float32, on a
machine that others use: int8 of Lite0 was 1.5 to 2.2 times as fast in five timings."""


if __name__ == '__main__':
    with one_line_errors():
        main()
