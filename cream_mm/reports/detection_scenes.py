"""Validation images of a detector with its boxes, judged against the ground truth."""

import base64
import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..datasets.pillow_image import UNREADABLE, open_image, upright_rgb
from ..files import read_bytes, shorten
from ..files.config_values import read_value
from .run_files import read_detections
from .style import GREEN, RED

NUM_SCENES = 6
MIN_SCORE = 0.4
MATCH_IOU = 0.5

# What a page can show.
MAX_FOUND, MAX_TRUTHS = 300, 2000  # boxes of an image
MAX_IMAGES, MAX_IMAGE_BYTES, MAX_PIXELS = 5000, 64 * 2**20, 50_000_000


def read_scenes(detector_dir: Path, notes: list[str]) -> list[dict]:
    """Scenes of the detector that was trained in a folder.

    Args:
        detector_dir (Path): Holds one config, which is read and not run, and ``val.bbox.json``.
        notes (list[str]): What is missing is added.

    Returns:
        list[dict]: See :func:`draw_scenes`; empty if something is missing.
    """
    boxes = detector_dir / 'val.bbox.json'
    configs = sorted(detector_dir.glob('*.py'))  # mmengine leaves the run's config here
    if not boxes.is_file() or len(configs) != 1:
        missing = boxes if configs else f'the config of the run in {detector_dir}'
        by = f' "python tools/test.py {detector_dir}" writes it.' if len(configs) == 1 else ''
        notes.append(f'Validation scenes: {missing} not found.{by}')
        return []
    try:
        dataset = read_value(configs[0], 'test_dataloader')['dataset']
        root = Path(dataset['data_root'])
        ann_file, img_dir = root / dataset['ann_file'], root / dataset['data_prefix']['img']
    except (KeyError, OSError, TypeError, ValueError) as error:
        notes.append(f'Validation scenes: no COCO-style set in {configs[0]} ({error}).')
        return []
    if not ann_file.is_file() or not img_dir.is_dir():
        missing = img_dir if ann_file.is_file() else ann_file
        notes.append(f'Validation scenes: {missing}, named in {configs[0]}, not found.')
        return []
    try:
        annotations, predictions = read_detections(ann_file, boxes, img_dir)
    except (OSError, ValueError) as error:
        notes.append(f'Validation scenes: {error.args[-1]}.')
        return []
    # A set without a root would be all that lies below the current folder.
    folders = (img_dir, root) if str(root) != '.' else (img_dir,)
    scenes = draw_scenes(annotations, predictions, img_dir, folders, notes)
    if not scenes:
        notes.append(f'Validation scenes: no image of {ann_file} found in {img_dir}.')
    return scenes


def draw_scenes(
    annotations: dict,
    predictions: list[dict],
    img_dir: Path,
    folders: Sequence[Path] | None = None,
    notes: list[str] | None = None,
) -> list[dict]:
    """Choose validation images evenly over the set, with boxes ready to draw.

    A prediction counts as right if a ground-truth box of its class overlaps it with an IoU of at
    least ``MATCH_IOU`` and no better prediction has taken that box.

    Args:
        annotations (dict): COCO annotation file.
        predictions (list[dict]): COCO results.
        img_dir (Path): Folder of the images.
        folders (Sequence[Path], optional): Of the set; a file that lies in none of them, when
            links are followed, is not shown, whatever the annotations name. Defaults to
            ``img_dir``.
        notes (list[str], optional): What was left out is added.

    Returns:
        list[dict]: Image as a data URI, its size, and boxes (x, y, w, h in pixels of the image).
    """
    notes = [] if notes is None else notes
    names = {c['id']: shorten(c['name'], 60) for c in annotations.get('categories', [])}
    images = _find_images(annotations, img_dir, folders or (img_dir,), notes)
    picks = np.linspace(0, len(images) - 1, min(NUM_SCENES, len(images))).round().astype(int)
    scenes = []
    for image, path in (images[i] for i in picks):
        truths = [a for a in annotations.get('annotations', []) if a['image_id'] == image['id']]
        found = [p for p in predictions if p['image_id'] == image['id'] and p['score'] >= MIN_SCORE]
        found = sorted(found, key=lambda p: -p['score'])[:MAX_FOUND]
        truths = truths[:MAX_TRUTHS]
        try:
            uri, width, height = embed_image(path)  # the one that was looked at
        except (OSError, ValueError) as error:
            notes.append(f'Validation scenes: {error.args[-1]}.')
            continue
        # Text and strokes are a fixed share of the scene, whatever its resolution.
        unit = max(width, height) / 100
        rights, num_missed = _judge(found, truths)
        scenes.append(
            {
                'name': shorten(image['file_name']),
                'uri': uri,
                'width': width,
                'height': height,
                'unit': round(unit, 3),
                'boxes': [
                    _draw_found(p, names, right, width, unit)
                    for p, right in zip(found, rights, strict=True)
                ],
                'missed': num_missed,
                'truths': [[round(v, 1) for v in t['bbox']] for t in truths],
            }
        )
    return scenes


def _find_images(
    annotations: dict, img_dir: Path, folders: Sequence[Path], notes: list[str]
) -> list[tuple[dict, str]]:
    """(entry, path) of the images that are there and lie in the folders, by id."""
    roots = [os.path.realpath(folder) for folder in folders]
    listed = sorted(
        annotations.get('images', []), key=lambda image: (str(type(image['id'])), image['id'])
    )
    if len(listed) > MAX_IMAGES:
        listed = [listed[i * len(listed) // MAX_IMAGES] for i in range(MAX_IMAGES)]
    images, outside = [], []
    for image in listed:
        path = os.path.realpath(img_dir / image['file_name'])
        if not os.path.isfile(path):
            continue
        inside = any(path.startswith(os.path.join(root, '')) for root in roots)
        (images if inside else outside).append((image, path))
    if outside:
        notes.append(
            f'Validation scenes: {len(outside)} images that lie outside the set, the first '
            f'{shorten(outside[0][0]["file_name"])}.'
        )
    return images


def _judge(found: list[dict], truths: list[dict]) -> tuple[list[bool], int]:
    """Whether each prediction, best first, is right, and the number of truths none has found."""
    free, rights = list(truths), []
    for p in found:
        hits = [t for t in free if t['category_id'] == p['category_id']]
        hit = max(hits, key=lambda t: _iou(t['bbox'], p['bbox']), default=None)
        rights.append(hit is not None and _iou(hit['bbox'], p['bbox']) >= MATCH_IOU)
        if rights[-1]:
            free.remove(hit)
    return rights, len(free)


def _iou(a: list[float], b: list[float]) -> float:
    """Overlap of two (x, y, w, h) boxes, 0 to 1."""
    w = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    h = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    return w * h / (a[2] * a[3] + b[2] * b[3] - w * h)


def _draw_found(prediction: dict, names: dict, right: bool, width: int, unit: float) -> dict:
    """A prediction's box, and its name and score on a tag that stays within the image."""
    x, y, w, h = (round(v, 1) for v in prediction['bbox'])
    category = prediction['category_id']
    text = f'{names.get(category, category)} {prediction["score"]:.2f}'
    tag = 4.2 * unit * len(text) * 0.6 + 2 * unit
    return {
        'x': x,
        'y': y,
        'w': w,
        'h': h,
        'text': text,
        'color': GREEN if right else RED,
        'tag_w': round(tag, 1),
        'tag_x': round(min(max(x, 0), max(width - tag, 0)), 1),
        'tag_y': round(y - 5.4 * unit if y > 5.4 * unit else y, 1),
    }


def embed_image(path: str | Path, max_side: int = 640) -> tuple[str, int, int]:
    """(data URI, width, height); the size is the original one, which the boxes refer to.

    Raises:
        OSError, ValueError: If the file is no image that can be shown.
    """
    content = read_bytes(path, MAX_IMAGE_BYTES)
    try:
        with open_image(content) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f'{image.width} x {image.height} pixels')
            image = upright_rgb(image)  # as the detector saw it
    except UNREADABLE as error:
        raise ValueError(f'{path} cannot be shown ({shorten(str(error))})') from None
    width, height = image.size
    image.thumbnail((max_side, max_side))
    # Small drawings stay exact; photographs would be megabytes as PNG.
    kind = 'png' if max(width, height) <= 320 else 'jpeg'
    buffer = io.BytesIO()
    image.save(buffer, kind, **({'quality': 85} if kind == 'jpeg' else {'optimize': True}))
    data = base64.b64encode(buffer.getvalue()).decode('ascii')
    return f'data:image/{kind};base64,{data}', width, height
