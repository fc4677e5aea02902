"""Does the file that was written say what PyTorch says? Classifiers and maps; on the final file."""

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.model import BaseModel

from ..structures.randomness import named_rng
from .classifier import PROBABILITIES, backbone_of, graph_of
from .run_onnx import open_photograph, pad, prepare
from .runtimes import Runtime

Outputs = dict[str, np.ndarray]
LIMIT = 1e-4
"""Largest difference that float32 explains: of probabilities, of maps as a share of the largest
value."""
MOST = 1e-2
"""The same at most, of a model in which small differences grow large by its weights."""
NOISE = 1e-6  # of float32 in probabilities
SCRIPT_IMAGES = 8  # photographs that the stand-alone script prepares, too
SCRIPT_LIMIT = 1.0  # of 255, on average: decoders of JPEG differ by less


@dataclass
class Report:
    """What a check found.

    Attributes:
        lines (list[str]): For the user, in order.
        numbers (dict): The same as numbers, for ``export.json``.
        failures (list[str]): Why the file is not to be used; none: it passed.
    """

    lines: list[str] = field(default_factory=list)
    numbers: dict[str, Any] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not self.failures

    def say(self, text: str) -> None:
        """Add a line that judges nothing."""
        self.lines.append(text)

    def fail(self, text: str) -> None:
        """Add a line that says why the file is not to be used."""
        self.lines.append(f'FAILED: {text}')
        self.failures.append(text)

    def compare(self, key: str, what: str, difference: float, limit: float) -> None:
        """Add a difference, which is a failure above its limit, or where it is no number."""
        self.numbers[key] = float(difference)
        if difference <= limit:
            self.lines.append(f'{what}: largest difference {difference:.1e}')
        else:
            self.fail(f'{what}: largest difference {difference:.1e}, above {limit:.0e}')

    def verdict(self) -> str:
        """The last line."""
        if self.passed:
            return 'verdict: the file does what the PyTorch model does'
        return f'verdict: do not use this file: {"; ".join(self.failures)}'


def check(
    path: str | Path,
    runtime: Runtime,
    model: BaseModel,
    loader: Iterable[dict] | None,
    *,
    about: dict,
    limit: float = LIMIT,
) -> Report:
    """Compare a classifier's file, or one of maps, with the model that it was made of.

    Different images in one batch, in both orders and twice the same, against each alone; other
    batches and odd sizes where the file says that they are open; uniform images; photographs
    through the config's own pipeline. The model answers through its own preprocessor and head, not
    through the graph that was exported.

    Args:
        path (str): The file, for messages.
        runtime (Runtime): What runs it.
        model (BaseModel): In eval mode.
        loader (Iterable, optional): Batches of the validation set, images as BGR. None has no
            photographs, and a line says so.
        about (dict): The file's metadata.
        limit (float): Of a difference. Defaults to :data:`LIMIT`.
    """
    report = Report()
    pair = _Pair(runtime, model, about)
    size, dynamic = about['input']['size'], about['input']['dynamic']
    images = noise(3, size)
    uniform = _uniform(size, about)
    apart = pair.apart(images)
    own = pair.own_error([*images, *(batch[0] for batch in uniform)])
    report.numbers['float32'] = own
    if (allowed := min(max(limit, 10 * own), MOST)) > limit:
        report.say(
            f'float32 itself is off by {own:.0e} in this model: up to {allowed:.0e} is allowed'
        )
        limit = allowed
    exact = max(10 * own, NOISE)
    if apart < 10 * exact:
        report.say(
            f'the model hardly tells images apart (by {apart:.0e}): mixed rows would not show'
        )
    compare_batches(
        report, 'batches', f'different images in a batch, which differ by {apart:.0e}',
        _batches(images, about), pair.difference, min(limit, max(apart / 10, exact)),
    )  # fmt: skip
    for key, what, batches in (
        ('sizes', 'other sizes', _other_sizes(size, about) if 'size' in dynamic else []),
        ('uniform', 'uniform images', uniform),
    ):
        compare_batches(report, key, what, batches, pair.difference, limit)
    if loader is None:
        report.say('photographs: not compared, there is no validation set (--images FOLDER)')
    else:
        _photographs(report, pair, loader, limit)
    if about['task'] == 'classification' and report.passed:
        report.compare('sums', 'sum of the probabilities of an image, to 1', pair.sums, LIMIT)
    return report


def compare_batches(
    report: Report,
    key: str,
    what: str,
    batches: Sequence[np.ndarray],
    difference: Callable[[np.ndarray], float],
    limit: float,
) -> None:
    """Add the largest difference of several batches (N, H, W, 3); an error is a failure."""
    worst = 0.0
    for images in batches:
        try:
            worst = worse(worst, difference(images))
        except Exception as error:  # of a runtime, whatever it raises
            reason = ' '.join(str(error).split())[:300]
            report.fail(f'{what}: a batch of {_shape(images)} cannot be run: {reason}')
            return
    if batches:
        shapes = ', '.join(dict.fromkeys(map(_shape, batches)))
        report.compare(key, f'{what} ({shapes})', worst, limit)


def _shape(images: np.ndarray) -> str:
    number, height, width = images.shape[:3]
    return f'{number} of {height} x {width}'


# ---- images --------------------------------------------------------------------------------------


def noise(number: int, size: Sequence[int]) -> np.ndarray:
    """Images with structure at several scales, different ones. (number, H, W, 3) uint8, RGB."""
    rng = named_rng('parity_images', 0, 0)
    images = np.zeros((number, *size, 3))
    for cells in (2, 8, 32):
        coarse = rng.uniform(-1, 1, (number, cells, cells, 3))
        rows, columns = (np.arange(side) * cells // side for side in size)
        images += coarse[:, rows][:, :, columns]
    return np.clip(127 + 60 * images, 0, 255).astype(np.uint8)


def batches_of(images: np.ndarray, dynamic: bool, fixed: int = 1) -> list[np.ndarray]:
    """Batches of three images A, B, C in which rows could be mixed up.

    With an open batch A, B, AB, BA, AA, ABC; else of the ``fixed`` number of images.
    """
    rows = [[0], [1], [0, 1], [1, 0], [0, 0], [0, 1, 2]]
    if not dynamic:
        rows = [[(i * step + first) % 3 for i in range(fixed)] for step, first in _ORDERS]
    return [images[row] for row in rows]


_ORDERS = ((1, 0), (2, 1), (0, 0))  # A B C ..., B A C ..., A A A ...


def _batches(images: np.ndarray, about: dict) -> list[np.ndarray]:
    return batches_of(images, 'batch' in about['input']['dynamic'], about['input'].get('batch', 1))


def _other_sizes(size: Sequence[int], about: dict) -> list[np.ndarray]:
    """Odd ones, larger and smaller, and not square."""
    height, width = size
    number = about['input'].get('batch', 1)
    sizes = (height + 1, width + 9), (height * 3 // 4 | 1, width), (height, width * 3 // 2 | 1)
    return [noise(number, other) for other in sizes]


def _uniform(size: Sequence[int], about: dict) -> list[np.ndarray]:
    number = about['input'].get('batch', 1)
    return [np.full((number, *size, 3), value, np.uint8) for value in (0, 114, 255)]


# ---- both sides ----------------------------------------------------------------------------------


class _Pair:
    """A file and the model that it was made of, asked the same."""

    def __init__(self, runtime: Runtime, model: BaseModel, about: dict):
        self.runtime, self.model = runtime, model
        self.maps = backbone_of(model).eval() if about['task'] == 'maps' else None
        self.about, self.several = about, about['task'] == 'multi-label'
        self.fixed = None if 'batch' in about['input']['dynamic'] else about['input'].get('batch')
        self.size = None if 'size' in about['input']['dynamic'] else about['input']['size']
        self.sums = 0.0

    def fit(self, image: np.ndarray) -> np.ndarray | None:
        """An image (H, W, 3), padded where the size is fixed; None where it is too large."""
        height, width = image.shape[:2]
        if self.size is None or [height, width] == list(self.size):
            return image
        if height > self.size[0] or width > self.size[1]:
            return None
        full = np.empty((*self.size, 3), np.float32)
        full[:] = self.about['resize']['pad']['value'] if self.about['resize'] else 0
        full[:height, :width] = image
        return full

    def row(self, image: np.ndarray) -> Outputs:
        """What the file says of one image (H, W, 3): outputs without the batch."""
        outputs = self.file(np.stack([image] * (self.fixed or 1)))
        return {name: value[0] for name, value in outputs.items()}

    def apart(self, images: np.ndarray) -> float:
        """How far the model's own outputs of the first two images are from each other."""
        one, other = map(self.pytorch, images[:2])
        return min(distance(one[name], other[name], name) for name in one)

    @torch.no_grad()
    def own_error(self, images: Sequence[np.ndarray]) -> float:
        """How far the model in float32 is from itself in float64, at most."""
        maps = self.maps is not None
        graph, names = graph_of(copy.deepcopy(self.model).double(), maps=maps)
        worst = 0.0
        for image in images:
            exact = graph(torch.from_numpy(image.transpose(2, 0, 1)[None].astype(np.float64)))
            for name, value in zip(names, exact if maps else (exact,), strict=True):
                found = distance(self.pytorch(image)[name], value[0].numpy(), name)
                worst = worse(worst, found)
        return worst

    def difference(self, images: np.ndarray) -> float:
        """The largest one of a batch (N, H, W, 3) uint8, RGB, each image of the model's alone."""
        ours = self.file(images)
        worst = 0.0
        for i, image in enumerate(images):
            for name, value in self.pytorch(image).items():
                worst = worse(worst, distance(ours[name][i], value, name))
        return worst

    def file(self, images: np.ndarray) -> Outputs:
        pixels = np.ascontiguousarray(images.transpose(0, 3, 1, 2), dtype=np.float32)
        outputs = self.runtime(pixels)
        if PROBABILITIES in outputs:
            off = float(np.abs(outputs[PROBABILITIES].sum(1) - 1).max())
            self.sums = max(self.sums, off)
        return outputs

    @torch.no_grad()
    def pytorch(self, image: np.ndarray) -> Outputs:
        """What the model says through its own preprocessor: outputs without the batch."""
        bgr = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)[::-1]))
        if self.maps is None:
            return {PROBABILITIES: self._scores([bgr])[0]}
        inputs = self.model.data_preprocessor(dict(inputs=[bgr]))['inputs']
        maps = self.maps(inputs)
        maps = (maps,) if isinstance(maps, torch.Tensor) else maps
        return {f'map_{i}': value[0].cpu().numpy() for i, value in enumerate(maps)}

    def _scores(self, bgr: list[torch.Tensor]) -> list[np.ndarray]:
        from mmpretrain.structures import DataSample

        batch = dict(inputs=bgr, data_samples=[DataSample() for _ in bgr])
        return [sample.pred_score.cpu().numpy() for sample in self.model.val_step(batch)]


def distance(ours: np.ndarray, theirs: np.ndarray, name: str) -> float:
    """Largest difference; of a map as a share of its largest value; inf where shapes differ."""
    if ours.shape != theirs.shape:
        return float('inf')
    found = float(np.abs(ours - theirs).max())
    return found if name == PROBABILITIES else found / max(float(np.abs(theirs).max()), 1e-6)


def worse(one: float, other: float) -> float:
    """The larger one; what is no number stays, which ``max`` passes over."""
    return float(np.maximum(one, other))


def _photographs(report: Report, pair: _Pair, loader: Iterable[dict], limit: float) -> None:
    """Add what both say of the validation set, and what the stand-alone script makes of files."""
    number = same = larger = 0
    right, worst = [0, 0], 0.0
    script = []
    for batch in loader:
        for inputs, sample in zip(batch['inputs'], batch['data_samples'], strict=True):
            image = pair.fit(inputs.numpy().transpose(1, 2, 0)[..., ::-1])
            if image is None:
                larger += 1
                continue
            about_image = sample.to_dict() if hasattr(sample, 'to_dict') else {}
            try:
                ours = pair.row(image)
            except Exception as error:  # of a runtime
                reason = ' '.join(str(error).split())[:300]
                report.fail(f'photographs: one of {_shape(image[None])} cannot be run: {reason}')
                return
            theirs = pair.pytorch(image)
            for name, value in theirs.items():
                worst = worse(worst, distance(ours[name], value, name))
            number += 1
            if PROBABILITIES in theirs:
                tops = [int(side[PROBABILITIES].argmax()) for side in (ours, theirs)]
                same += tops[0] == tops[1]
                label = about_image.get('gt_label')
                if label is not None and len(label) == 1:
                    right = [count + (top == int(label)) for count, top in zip(right, tops)]
            path = about_image.get('img_path') if pair.about['resize'] else None
            if path and len(script) < SCRIPT_IMAGES and Path(path).is_file():
                found = _script(pair, path, image, ours)
                script += [found] if found else []
    if larger:
        height, width = pair.size
        report.say(f'{larger} photographs are not compared: as the config prepares them they do '
                   f'not fit into {height} x {width}')  # fmt: skip
    if not number:
        report.say('photographs: not compared, there are none')
        return
    report.numbers['images'] = number
    report.compare('photographs', f'{number} photographs as the config prepares them', worst, limit)
    if pair.maps is None and not pair.several:
        report.numbers |= dict(same_class=same / number, accuracy=[n / number for n in right])
        accuracy = ''
        if any(right):
            accuracy = '; accuracy {:.1f} % and {:.1f} %'.format(*(100 * n / number for n in right))
        report.say(f'the same class for {same} of {number} photographs{accuracy}')
    _compare_script(report, script)


def _script(
    pair: _Pair, path: str, image: np.ndarray, ours: Outputs
) -> tuple[float, float] | str | None:
    """How far the stand-alone script's own way is off: in pixels on average, in outputs at most."""
    try:
        pixels, _ = prepare(open_photograph(path), pair.about)
    except ValueError as error:
        return str(error)
    except OSError:  # a damaged file, of which the pipeline takes what is there
        return None
    # To multiples of a divisor: the graph does that to what the pipeline gives.
    theirs = pad(image, pair.about['resize']['pad']).transpose(2, 0, 1)[None]
    if pixels.shape != theirs.shape:
        return f'it makes {pixels.shape[2:]} pixels of {path}, the pipeline {theirs.shape[2:]}'
    outputs = pair.runtime(np.repeat(pixels, pair.fixed or 1, axis=0))
    off = float(np.max([distance(outputs[name][0], value, name) for name, value in ours.items()]))
    return float(np.abs(pixels - theirs).mean()), off


def _compare_script(report: Report, found: list[tuple[float, float] | str]) -> None:
    if errors := [item for item in found if isinstance(item, str)]:
        report.fail(f'run_onnx.py prepares photographs otherwise: {errors[0]}')
    elif found:
        pixels, outputs = (max(values) for values in zip(*found))
        report.numbers |= dict(script_pixels=pixels, script_outputs=outputs)
        text = (
            f'run_onnx.py prepares {len(found)} photographs: pixels differ by {pixels:.2f} of 255 '
            f'on average, outputs by at most {outputs:.1e}'
        )
        (report.say if pixels <= SCRIPT_LIMIT else report.fail)(text)
