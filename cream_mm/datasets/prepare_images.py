"""Makes a copy of an image folder that is faster to train on."""

import errno
import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from mmengine.utils import ProgressBar, track_parallel_progress, track_progress
from PIL import Image, ImageOps

from ..files import read_bytes, read_json, write_json
from .folder_listing import ITSELF, find_folder, folders_in, list_classes, list_folder
from .packed_images import is_packed, write_packed
from .pillow_image import MAX_IMAGE_BYTES, UNREADABLE, open_image, upright_rgb
from .transforms.load_image import decode_image, decode_partly

MARKER = 'prepare.json'  # what the folder was made of, and how


def prepare_images(
    src: str | os.PathLike,
    dst: str | os.PathLike,
    *,
    size: int | None = None,
    pack: bool = False,
    num_workers: int = 1,
) -> dict[str, int]:
    """Write a copy of ``src/<split>/<class>/*`` that a run takes as its ``data_root``.

    Classes, names and their order stay, and with them labels and the held-out split. ``dst``
    appears when it is complete. Until then, what is done lies in ``<dst>.part``; the same call
    goes on from there (a pack begins anew).

    Args:
        src (str): An image folder. Every subfolder with class folders is a split.
        dst (str): A new folder.
        size (int, optional): Pixels. Larger images are resized so that the shorter side has them;
            others are copied as they are. With ``pack``, every image becomes size x size: resized
            to the shorter side, the middle cut out. Defaults to None: all as they are.
        pack (bool): Write each split as one file (:class:`PackedImages`). Defaults to False.
        num_workers (int): Processes that resize. Defaults to 1.

    Returns:
        dict[str, int]: split -> images.

    Raises:
        FileExistsError: If ``dst`` is there, or another preparation of it was begun.
        FileNotFoundError: If ``src`` is no image folder.
        OSError: If the disk is full.
        ValueError: If the images to pack differ in size or are damaged, or there is nothing to do.
    """
    src, dst = Path(src), Path(dst)
    if size is None and not pack:
        raise ValueError('nothing to do: give a size, or pack')
    if size is not None and size < 1:
        raise ValueError(f'size is a number of pixels; got {size}')
    list_classes(src)  # says how the images have to lie
    train = find_folder(src, 'train')
    if is_packed(src / train):
        raise ValueError(f'{src} is packed already')
    if dst.exists():
        raise FileExistsError(f'{dst} is there already; remove it or name another folder')
    names = [name for name in folders_in(src) if folders_in(src / name)]
    splits = dict(train=src) if train == ITSELF else {name: src / name for name in names}
    part = _begin(dst, dict(src=str(src.resolve()), size=size, pack=pack))
    try:
        counts = {}
        for name, split in splits.items():
            print(f'{name}:', flush=True)
            files = list_folder(src, name)
            counts[name] = sum(map(len, files.values()))
            if pack:
                _pack(split, part / name, files, size)
            else:
                counts[name] -= _resize(split, part / name, files, size, num_workers)
        part.rename(dst)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise OSError(
            error.errno,
            f'cannot write {part}: {error.strerror}. Free some space, then give the same command',
        ) from error
    return counts


def _begin(dst: Path, arguments: dict) -> Path:
    part = dst.with_name(dst.name + '.part')
    if part.exists():
        try:
            before = read_json(part / MARKER)
        except (OSError, ValueError):
            before = None
        is_pack = isinstance(before, dict) and before.get('pack') and arguments['pack']
        if is_pack and before.get('src') == arguments['src']:
            shutil.rmtree(part)  # a pack begins anew
        elif before != arguments:
            raise FileExistsError(
                f'{part} is left of another preparation ({before}); remove it or name another '
                'folder'
            )
    write_json(part / MARKER, arguments)
    return part


# ---- one file for all --------------------------------------------------------------------------


def _pack(split: Path, target: Path, files: dict[str, list[str]], size: int | None) -> None:
    paths = [split / name / file for name, names in files.items() for file in names]
    if not paths:
        raise ValueError(f'no image below {split}')
    write_packed(target, files, _same_sized(paths, size, target))


def _same_sized(paths: list[Path], size: int | None, target: Path) -> Iterator[np.ndarray]:
    bar, first, damaged = ProgressBar(len(paths)), None, []
    step = max(1, len(paths) // 100)
    for number, path in enumerate(paths, 1):
        if number % step == 0 or number == len(paths):
            bar.update(number - bar.completed)
        try:
            content = read_bytes(path, MAX_IMAGE_BYTES)
            image = decode_image(content) if size is None else _square(content, size)
        except UNREADABLE as error:
            damaged.append(f'{path} ({error})')
            continue
        if first is None:
            first, first_path = image, path
            _check_space(target, len(paths) * image.nbytes)
        if image.shape != first.shape:
            raise ValueError(
                f'{path} has {_pixels(image)} pixels, {first_path} has {_pixels(first)}: a pack '
                'holds images of one size. --size N makes all N x N, by resizing the shorter side '
                'and cutting out the middle; or leave out --pack'
            )
        if not damaged:
            yield image
    print()
    if damaged:
        raise ValueError(
            f'{len(damaged)} images cannot be read: {", ".join(damaged[:5])}. Mend or remove them, '
            'then give the same command'
        )


def _square(content: bytes, size: int) -> np.ndarray:
    with open_image(content) as image:
        image = ImageOps.fit(upright_rgb(image), (size, size), Image.Resampling.BICUBIC)
    return cv2.cvtColor(np.asarray(image), cv2.COLOR_RGB2BGR)


def _check_space(target: Path, num_bytes: int) -> None:
    target.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(target).free
    if num_bytes > free:
        raise ValueError(
            f'{target} would take {num_bytes / 1e9:.1f} GB, and {free / 1e9:.1f} are free; a '
            'smaller --size, or leave out --pack'
        )


def _pixels(image: np.ndarray) -> str:
    return f'{image.shape[1]} x {image.shape[0]}'


# ---- smaller files -----------------------------------------------------------------------------


def _resize(
    split: Path, target: Path, files: dict[str, list[str]], size: int, num_workers: int
) -> int:
    """Returns how many were left out, because nothing of them can be read."""
    for name in files:  # an empty class stays a class
        (target / name).mkdir(parents=True, exist_ok=True)
    todo = [f'{name}/{file}' for name, names in files.items() for file in names]
    todo = [name for name in todo if not (target / name).is_file()]
    work = partial(_resize_file, split, target, size)
    if num_workers > 1 and todo:
        failed = track_parallel_progress(work, todo, num_workers, chunksize=16)
    else:
        failed = track_progress(work, todo)
    print()
    damaged = [(name, reason) for name, reason in zip(todo, failed) if reason]
    copied = [f'{split / name} ({why})' for name, why in damaged if (target / name).is_file()]
    left = [f'{split / name} ({why})' for name, why in damaged if not (target / name).is_file()]
    if copied:
        print(
            f'{len(copied)} images cannot be read whole and were copied as they are: '
            f'{", ".join(copied[:5])}'
        )
    if left:
        print(
            f'{len(left)} files are no images, or cannot be read, and were left out: '
            f'{", ".join(left[:5])}. Where a class has fewer files, a search holds out others'
        )
    return len(left)


def _resize_file(split: Path, target: Path, size: int, name: str) -> str | None:
    """Resize or copy one file; the reason if it could not be read.

    What is copied is an image, if only the beginning of one: a link may lead to any file.
    """
    try:
        content = read_bytes(split / name, MAX_IMAGE_BYTES)
    except UNREADABLE as error:
        return str(error)
    path, reason = target / name, None
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + '.tmp')  # none of the accepted extensions
    try:
        smaller = _smaller(content, size)
    except UNREADABLE as error:
        smaller, reason = None, str(error)
        try:
            decode_partly(content)
        except UNREADABLE:
            return reason
    if smaller is None:
        temporary.write_bytes(content)
    else:
        image, kind = smaller
        image.save(temporary, kind, **(dict(quality=95) if kind in ('JPEG', 'WEBP') else {}))
    os.replace(temporary, path)
    return reason


# Of other formats, what Pillow writes has fewer colours, or is none at all. What a file holds is
# seen from its content, not from its name.
_WRITTEN = ('BMP', 'JPEG', 'PNG', 'PPM', 'TIFF', 'WEBP')


def _smaller(content: bytes, size: int) -> tuple[Image.Image, str] | None:
    """The image with its shorter side at ``size``, and its format; None if it is no larger."""
    with open_image(content) as image:
        kind = 'JPEG' if image.format == 'MPO' else image.format  # MPO: a JPEG with a second one
        upright = upright_rgb(image)  # a damaged one is to be reported
    if min(upright.size) <= size:
        return None
    scale = size / min(upright.size)
    target = tuple(max(size, round(side * scale)) for side in upright.size)
    smaller = upright.resize(target, Image.Resampling.BICUBIC, reducing_gap=3.0)
    smaller.info.clear()  # of the file that it was, as which colour is transparent
    return smaller, kind if kind in _WRITTEN else 'PNG'
