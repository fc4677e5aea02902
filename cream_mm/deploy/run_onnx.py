"""Print what an exported network says of photographs, or draw the boxes that it finds in them.

    python run_onnx.py model.onnx photo.jpg folder_of_photos
    python run_onnx.py model.onnx photo.jpg --out drawn

It needs onnxruntime, numpy and Pillow, and nothing else. All that there is to know of the network
is in the file's metadata: classes, how an image is prepared, what the outputs are.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

KEY, FORMAT = 'cream_mm', 1
KERNELS = {'bilinear': Image.Resampling.BILINEAR, 'bicubic': Image.Resampling.BICUBIC}
ENDINGS = (
    '.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.gif', '.bmp', '.dib', '.webp', '.avif', '.tif',
    '.tiff', '.ppm', '.pgm', '.pbm', '.pnm', '.jp2',
)  # fmt: skip
# Dark enough for white letters, and apart from each other.
COLOURS = (
    (200, 55, 0), (0, 90, 180), (0, 120, 60), (150, 0, 130), (110, 80, 0), (190, 0, 50),
    (0, 110, 120),
)  # fmt: skip
FONTS = (
    'DejaVuSans.ttf', 'NotoSans-Regular.ttf', 'LiberationSans-Regular.ttf', 'Arial.ttf',
    'arial.ttf', 'Helvetica.ttc',
)  # fmt: skip

Box = tuple[str, float, tuple[float, float, float, float]]  # name, score, left, top, right, bottom


# ---- the file ------------------------------------------------------------------------------------


def open_network(path: str, threads: int | None = None) -> tuple[Any, dict[str, Any]]:
    """A session of onnxruntime, and what the file says of itself."""
    import onnxruntime

    if os.path.isdir(path):
        raise ValueError(f'{path} is a folder: name a file first, as in {path}/model.onnx')
    if not os.path.isfile(path):
        raise ValueError(f'there is no file {path}')
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if threads:
        options.intra_op_num_threads = threads
    try:
        session = onnxruntime.InferenceSession(path, options, providers=['CPUExecutionProvider'])
    except Exception as error:
        raise ValueError(
            f'onnxruntime {onnxruntime.__version__} cannot run {path}: {error}'
        ) from error
    text = session.get_modelmeta().custom_metadata_map.get(KEY)
    about = json.loads(text) if text else {}
    if about.get('format') != FORMAT:
        raise ValueError(
            f'{path} has no metadata of {KEY} in format {FORMAT}: export it with cream_mm, and '
            'take the run_onnx.py beside it'
        )
    if about['resize'] is None:
        raise ValueError(f'{path} does not say how an image is prepared; see its export.json')
    return session, about


# ---- an image ------------------------------------------------------------------------------------


def find_images(places: Sequence[str]) -> list[str]:
    """Files as they are, and the images in folders, at any depth, in the order of their names."""
    found = []
    for place in places:
        if not os.path.isdir(place):
            found.append(place)
            continue
        number = len(found)
        for folder, folders, names in os.walk(place):
            folders[:] = sorted(name for name in folders if not name.startswith('.'))
            names = [n for n in names if n.lower().endswith(ENDINGS) and not n.startswith('.')]
            found += [os.path.join(folder, name) for name in sorted(names)]
        if len(found) == number:
            raise ValueError(f'there is no image in the folder {place}')
    return found


def open_photograph(path: str | os.PathLike) -> np.ndarray:
    """An image file as (H, W, 3) uint8, RGB, turned upright as EXIF says."""
    with Image.open(path) as image:
        image = ImageOps.exif_transpose(image)
        if image.mode == 'F' or image.mode.startswith('I'):
            image = Image.fromarray(_in_8_bits(np.asarray(image), image.mode))
        if image.mode in ('LA', 'PA') or 'transparency' in image.info:
            image = image.convert('RGBA')
        return np.array(image.convert('RGB'))


def _in_8_bits(values, mode):
    """Of 16 bits the upper ones; of 32 bits the largest value tells what is white."""
    if mode.startswith('I;16'):
        return (values >> 8).astype(np.uint8)
    high = values.max()
    if not (values.min() >= 0 and high <= 65535):
        raise ValueError('pixels of 32 bits that do not tell what is white')
    if mode == 'F' and high <= 1:
        values = values * 255
    elif high > 255:
        values = values // 256
    return np.rint(values).astype(np.uint8)


def prepare(image: np.ndarray, about: dict) -> tuple[np.ndarray, tuple[float, float]]:
    """Pixels of an image as the network's input.

    Args:
        image (np.ndarray): (H, W, 3) uint8, RGB.
        about (dict): The file's metadata.

    Returns:
        tuple: (1, 3, h, w) float32, RGB, 0 to 255, and by what x and y of the image were
        multiplied, which boxes have to be divided by.
    """
    how, fixed = about['resize'], about['input']['size']
    if 'size' in about['input']['dynamic']:
        fixed = None
    height, width = image.shape[:2]
    new = _new_size(height, width, how, fixed)
    image = resize(image, new, how)
    scale = new[1] / width, new[0] / height
    if how['crop']:
        image = _crop(image, how['crop'])
    # Only what keeps its ratio may leave something free of a fixed size.
    image = pad(image, how['pad'], fixed if how['mode'] == 'keep_ratio' else how['pad']['to'])
    if fixed and list(image.shape[:2]) != list(fixed):
        raise ValueError(
            f'this network takes images of {fixed[0]} x {fixed[1]} pixels; this one is '
            f'{image.shape[0]} x {image.shape[1]}'
        )
    return np.ascontiguousarray(image.transpose(2, 0, 1)[None], dtype=np.float32), scale


def _new_size(height, width, how, fixed):
    mode, size = how['mode'], how['size']
    if mode == 'none':
        return height, width
    if mode == 'stretch':
        return tuple(size)
    if mode == 'short_edge':
        if width < height:
            return int(size * height / width), size
        return size, int(size * width / height)
    factor = min(max(size) / max(height, width), min(size) / min(height, width))
    if fixed:  # one upright image may not fit into what is fixed for a lying one
        factor = min(factor, fixed[0] / height, fixed[1] / width)
    return int(height * factor + 0.5), int(width * factor + 0.5)


def resize(image: np.ndarray, size: Sequence[int], how: dict) -> np.ndarray:
    """(H, W, 3) uint8 -> (h, w, 3) uint8."""
    if tuple(image.shape[:2]) == tuple(size):
        return image
    if how['backend'] == 'pillow':
        resized = Image.fromarray(image).resize((size[1], size[0]), KERNELS[how['interpolation']])
        return np.asarray(resized)
    return _resize_as_opencv(image, size)


def _resize_as_opencv(image, size):
    """OpenCV's bilinear: half-pixel centres, two neighbours a side, no antialiasing."""
    # In whole numbers and rounded where OpenCV rounds, so that pixels are the same.
    top, bottom, above, below = _neighbours(image.shape[0], size[0])
    left, right, before, after = _neighbours(image.shape[1], size[1])
    wide = image.astype(np.int32)
    rows = wide[:, left] * before[:, None] + wide[:, right] * after[:, None]  # (H, w, 3)
    upper = (above[:, None, None] * (rows[top] >> 4)) >> 16
    lower = (below[:, None, None] * (rows[bottom] >> 4)) >> 16
    return np.clip((upper + lower + 2) >> 2, 0, 255).astype(np.uint8)


def _neighbours(old, new):
    """Of each new pixel the old ones on both sides, and their shares, of 2048."""
    places = ((np.arange(new) + 0.5) * (old / new) - 0.5).astype(np.float32)
    first = np.floor(places).astype(int)
    share = np.where((first < 0) | (first >= old - 1), 0, places - first)
    first = np.clip(first, 0, old - 1)
    shares = (np.rint(part * 2048).astype(np.int32) for part in (1 - share, share))
    return first, np.minimum(first + 1, old - 1), *shares


def _crop(image, size):
    (height, width), (h, w) = image.shape[:2], size
    top, left = (max(0, round((a - b) / 2)) for a, b in ((height, h), (width, w)))
    return image[top : top + h, left : left + w]


def pad(image: np.ndarray, how: dict, to: Sequence[int] | None = None) -> np.ndarray:
    """Pixels on the right and below: to a size, or to multiples of a divisor."""
    height, width = image.shape[:2]
    divisor = how['divisor']
    to = to or how['to'] or [-(-height // divisor) * divisor, -(-width // divisor) * divisor]
    if to[0] <= height and to[1] <= width:
        return image
    padded = np.empty((max(to[0], height), max(to[1], width), 3), np.float32)
    padded[:] = how['value']
    padded[:height, :width] = image
    return padded


# ---- what the network says -----------------------------------------------------------------------


def best_classes(probabilities: np.ndarray, about: dict, top: int) -> list[tuple[str, float]]:
    """(name, probability) of one image, the surest first; of several labels those that it has."""
    order = np.argsort(-probabilities, kind='stable')
    threshold = about.get('test_cfg', {}).get('threshold')
    if about['task'] == 'multi-label' and threshold is not None:
        order = [i for i in order if probabilities[i] >= threshold]
    else:
        order = order[:top]
    return [(about['classes'][i], float(probabilities[i])) for i in order]


def boxes_of(
    outputs: dict[str, np.ndarray],
    scale: tuple[float, float],
    shape: Sequence[int],
    about: dict,
    threshold: float,
) -> list[Box]:
    """(name, score, (left, top, right, bottom)) in pixels of the photograph, the surest first."""
    boxes, scores, labels = (outputs[name][0] for name in ('boxes', 'scores', 'labels'))
    boxes = boxes / np.array([*scale, *scale], np.float32)
    height, width = shape[:2]
    boxes = np.clip(boxes, 0, [width, height, width, height])
    return [
        (about['classes'][label], float(score), tuple(map(float, box)))
        for box, score, label in zip(boxes, scores, labels)
        if label >= 0 and score >= threshold
    ]


def draw(
    image: np.ndarray, found: Sequence[Box], path: str | os.PathLike, classes: Sequence[str]
) -> None:
    """Write a photograph with its boxes, those of a class in one colour on all photographs."""
    picture = Image.fromarray(image)
    pen, font = ImageDraw.Draw(picture), letters(max(11, min(picture.size) // 30))
    for name, score, corners in reversed(found):  # the surest on top
        colour = COLOURS[classes.index(name) % len(COLOURS)]
        pen.rectangle(corners, outline=colour, width=max(2, min(picture.size) // 250))
        text, corner = f'{name} {100 * score:.0f} %', (corners[0] + 3, corners[1] + 2)
        pen.rectangle(pen.textbbox(corner, text, font=font), fill=colour)
        pen.text(corner, text, fill=(255, 255, 255), font=font)
    picture.save(path)


def letters(height: int) -> Any:
    """A font with more than ASCII where the machine has one of these; else Pillow's own."""
    for name in FONTS:
        try:
            return ImageFont.truetype(name, height)
        except OSError:
            continue
    try:
        return ImageFont.load_default(height)
    except (ImportError, TypeError):  # of a Pillow without FreeType, or before 10.1
        return ImageFont.load_default()


def drawings(paths: Sequence[str], folder: str | None) -> list[str | None]:
    """Where photographs are drawn; two of one name in two folders get two files."""
    names = []
    for path in paths:
        stem = os.path.splitext(os.path.basename(path))[0]
        name, number = stem, 1
        while name in names:
            number += 1
            name = f'{stem}_{number}'
        names.append(name)
    return [os.path.join(folder, f'{name}.png') if folder else None for name in names]


def run(session: Any, about: dict, path: str, drawn: str | None, args: argparse.Namespace) -> None:
    """Print what the network says of one photograph."""
    image = open_photograph(path)
    pixels, scale = prepare(image, about)
    pixels = np.repeat(pixels, about['input'].get('batch', 1), axis=0)  # where that is fixed
    names = [out.name for out in session.get_outputs()]
    outputs = dict(zip(names, session.run(names, {session.get_inputs()[0].name: pixels})))
    if about['task'] == 'maps':
        print(path)
        for name in names:
            value = outputs[name]
            print(f'  {name}  {value.shape}  mean {value.mean():.4f}  deviation {value.std():.4f}')
    elif about['task'] == 'detection':
        found = boxes_of(outputs, scale, image.shape, about, args.threshold)
        if drawn:
            draw(image, found, drawn, about['classes'])
        print(f'{path} -> {drawn}' if drawn else path)
        if not found:
            print('   nothing above the threshold')
        for name, score, corners in found:
            line = f'  {100 * score:5.1f} %  {name}'
            print(f'{line:36}' + ''.join(f' {round(x):5}' for x in corners))
    else:
        print(path)
        found = best_classes(outputs['probabilities'][0], about, args.top)
        for name, score in found:
            print(f'  {100 * score:5.1f} %  {name}')
        if not found:
            print('   nothing above the threshold')


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('model', help='an ONNX file that cream_mm exported')
    parser.add_argument('images', nargs='+', help='photographs, or folders of them')
    parser.add_argument('--top', type=int, default=5, help='classes to print; %(default)s')
    parser.add_argument(
        '--threshold', type=float, default=0.3, help="least score of a detector's box; %(default)s"
    )
    parser.add_argument('--out', help='folder for photographs with boxes drawn; default: none')
    parser.add_argument('--threads', type=int, help="default: onnxruntime's own number")
    args = parser.parse_args(argv)
    images = find_images(args.images)
    session, about = open_network(args.model, args.threads)
    if args.out:
        os.makedirs(args.out, exist_ok=True)
    read = 0
    for path, drawn in zip(images, drawings(images, args.out)):
        try:
            run(session, about, path, drawn, args)
        except (OSError, ValueError) as error:
            print(f'{path}: passed over: {error}')
            continue
        read += 1
    if not read:
        raise ValueError('none of the images could be used')


if __name__ == '__main__':
    try:
        main()
    except BrokenPipeError:  # of head, which has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except (ImportError, OSError, ValueError) as error:
        sys.exit(f'error: {error}')
