"""Which images the ranges of int8 are measured on, and as what the network gets them."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.registry import DATASETS
from mmengine.structures import BaseDataElement
from torch import Tensor

from ..engine.hooks.small_batch_norm_hook import as_tested
from ..structures.randomness import named_rng
from .run_onnx import open_photograph, prepare

NUMBER = 300
FEW = 100
"""With fewer images the ranges depend on which ones they are."""


class CalibrationImages:
    """Training images, prepared as those of the validation set are; read anew at each pass.

    As many of each class as there are, one class after the other; which images of a class, chance
    decides, the same each time.

    Args:
        cfg (Config): Of the training, with ``train_dataloader`` and ``val_dataloader``.
        about (dict): What the ONNX file says of itself (:func:`read_about`): images are padded to
            its size if that is fixed.
        number (int): At most so many images. Defaults to :data:`NUMBER`.
        batch (int): Images at a time; of a detector one, since they differ in size. Defaults to 8.

    Attributes:
        images (int): How many.
        classes (int): Of how many classes; of a detector's images the classes of their objects.

    Raises:
        ValueError: If the config names no training or no validation set, or the file is one of
            maps, which nothing rates.

    Yields:
        ndarray: (N, 3, H, W) float32, RGB, 0 to 255.
    """

    def __init__(self, cfg: Config, about: Mapping[str, Any], number: int = NUMBER, batch: int = 8):
        if number < 1:
            raise ValueError(f'int8 is calibrated with at least one image; got {number}')
        if about['task'] == 'maps':
            raise ValueError('int8 is rated by what a model predicts: leave --maps or --int8 away')
        self.dataset = _as_validated(cfg)
        labels = list(_labels(self.dataset))
        self.wanted, self.total, self.about = number, len(labels), about
        fixed = about['input'].get('batch')
        self.batch = fixed or (1 if about['task'] == 'detection' else batch)
        self.order = spread(labels, number)
        if fixed:  # whole batches
            self.order = (self.order * fixed)[: -(-len(self.order) // fixed) * fixed]
        self.images = len(set(self.order))
        self.classes = len({label for i in self.order for label in labels[i]})

    def __iter__(self) -> Iterator[np.ndarray]:
        for start in range(0, len(self.order), self.batch):
            chosen = self.order[start : start + self.batch]
            samples = [self.dataset[i] for i in chosen]
            yield np.stack(
                [as_input(one['inputs'], one['data_samples'], self.about)[0] for one in samples]
            )

    def lines(self) -> list[str]:
        """For the user: how many images, and what is doubtful with them."""
        found = [
            f'calibration  {self.images} of {self.total} training images, of {self.classes} '
            f'{"class" if self.classes == 1 else "classes"}, prepared as the validation set is'
        ]
        if self.images < min(FEW, self.wanted):
            found.append(
                f'note         {self.images} images are few: ranges hold for more from {FEW} on'
            )
        if self.classes == 1 and len(self.about['classes']) > 1:
            found.append(
                f'note         all images are of one class of {len(self.about["classes"])}: the '
                'ranges may not hold for the others'
            )
        return found


def spread(labels: Sequence[tuple], number: int) -> list[int]:
    """Positions of so many samples, dealt from the classes one after the other.

    A sample of several classes counts for its first one; one without any is a class of its own.

    >>> labels = [('a',)] * 100 + [('b',)] * 2 + [()]
    >>> sorted(spread(labels, 6))[-3:]
    [100, 101, 102]
    """
    by_class = defaultdict(list)
    for i in named_rng('calibration', 0, 0).permutation(len(labels)):
        by_class[labels[i][:1]].append(int(i))
    queues = [by_class[key] for key in sorted(by_class)]
    rounds = max(map(len, queues), default=0)
    dealt = [queue[turn] for turn in range(rounds) for queue in queues if turn < len(queue)]
    return dealt[:number]


def as_input(
    inputs: Tensor, sample: BaseDataElement, about: Mapping[str, Any]
) -> tuple[np.ndarray, Sequence[float]]:
    """What a pipeline gives as what an ONNX file takes: RGB, and padded where its size is fixed.

    An upright photograph that does not fit into the size of lying ones is read anew, and made
    smaller as the stand-alone script makes it.

    Returns:
        tuple: The image, and by what the x and y of its photograph were multiplied.

    Shapes:
        inputs: (3, H, W), BGR, 0 to 255. Image: (3, H, W) float32.

    Raises:
        ValueError: If it does not fit, and the script would not make it smaller.
    """
    image = inputs.numpy()[::-1].astype(np.float32)
    height, width = about['input']['size']
    scale = sample.metainfo.get('scale_factor', (1.0, 1.0))
    if 'size' in about['input']['dynamic'] or image.shape[1:] == (height, width):
        return np.ascontiguousarray(image), scale
    if image.shape[1] > height or image.shape[2] > width:
        if about['resize'] and about['resize']['mode'] == 'keep_ratio':
            pixels, scale = prepare(open_photograph(sample.img_path), about)
            return pixels[0], scale
        raise ValueError(
            f'the validation pipeline gives {image.shape[1]} x {image.shape[2]} pixels, the file '
            f'takes {height} x {width}: export it with --size {image.shape[1]} {image.shape[2]}'
        )
    padded = np.empty((3, height, width), np.float32)
    colour = about['resize']['pad']['value'] if about['resize'] else (0, 0, 0)
    padded[:] = np.reshape(colour, (3, 1, 1))
    padded[:, : image.shape[1], : image.shape[2]] = image
    return padded, scale


def _labels(dataset) -> Iterator[tuple]:
    for part in getattr(dataset, 'datasets', [dataset]):
        yield from (tuple(part.get_cat_ids(i)) for i in range(len(part)))


def _as_validated(cfg):
    """The training set under the pipeline of the validation set."""
    sets = []
    for side in ('train', 'val'):
        loader = cfg.get(f'{side}_dataloader')
        if not loader:
            raise ValueError(
                f'int8 is calibrated with training images prepared as the validation set is, and '
                f'the config has no {side}_dataloader'
            )
        sets.append(DATASETS.build(loader['dataset']))
    return as_tested(*sets)
