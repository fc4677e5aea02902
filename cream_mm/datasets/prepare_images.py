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

from ..files import read_json
from ..utils import write_json
from .image_folder import list_classes, list_images
from .packed_images import is_packed, write_packed
from .transforms.load_image import decode_image

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
    if is_packed(src / 'train'):
        raise ValueError(f'{src} is packed already')
    if dst.exists():
        raise FileExistsError(f'{dst} is there already; remove it or name another folder')
    splits = [p for p in sorted(src.iterdir()) if p.is_dir() and any(map(Path.is_dir, p.iterdir()))]
    part = _begin(dst, dict(src=str(src.resolve()), size=size, pack=pack))
    try:
        counts = {}
        for split in splits:
            print(f'{split.name}:', flush=True)
            files = {name: _names(split / name) for name in list_classes(src, split.name)}
            if pack:
                _pack(split, part / split.name, files, size)
            else:
                _resize(split, part / split.name, files, size, num_workers)
            counts[split.name] = sum(map(len, files.values()))
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


def _names(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in list_images(folder)]


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
            image = decode_image(path.read_bytes()) if size is None else _square(path, size)
        except (SyntaxError, ValueError, OSError, Image.DecompressionBombError) as error:
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


def _square(path: Path, size: int) -> np.ndarray:
    with Image.open(path) as image:
        image = ImageOps.exif_transpose(image).convert('RGB')
        image = ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)
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
) -> None:
    for name in files:  # an empty class stays a class
        (target / name).mkdir(parents=True, exist_ok=True)
    todo = [f'{name}/{file}' for name, names in files.items() for file in names]
    todo = [name for name in todo if not (target / name).is_file()]
    work = partial(_resize_file, split, target, size)
    if num_workers > 1 and todo:
        failed = track_parallel_progress(work, todo, num_workers, chunksize=16)
    else:
        failed = track_progress(work, todo)
    damaged = [f'{split / name} ({reason})' for name, reason in zip(todo, failed) if reason]
    print()
    if damaged:
        print(
            f'{len(damaged)} images cannot be read and were copied as they are: '
            f'{", ".join(damaged[:5])}'
        )


def _resize_file(split: Path, target: Path, size: int, name: str) -> str | None:
    """Resize or copy one file; the reason if it could not be read."""
    path, reason = target / name, None
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + '.tmp')  # none of the accepted extensions
    try:
        smaller = _smaller(split / name, size)
    except (SyntaxError, ValueError, OSError, Image.DecompressionBombError) as error:
        smaller, reason = None, str(error)
    if smaller is None:
        shutil.copyfile(split / name, temporary)
    else:
        image, kind = smaller
        image.save(temporary, kind, **(dict(quality=95) if kind in ('JPEG', 'WEBP') else {}))
    os.replace(temporary, path)
    return reason


def _smaller(path: Path, size: int) -> tuple[Image.Image, str] | None:
    """The image with its shorter side at ``size``, and its format; None if it is no larger."""
    with Image.open(path) as image:
        if min(image.size) <= size:
            image.load()  # a damaged one is to be reported
            return None
        kind = 'JPEG' if image.format == 'MPO' else image.format  # MPO: a JPEG with a second one
        upright = ImageOps.exif_transpose(image).convert('RGB')
    scale = size / min(upright.size)
    target = tuple(max(size, round(side * scale)) for side in upright.size)
    return upright.resize(target, Image.Resampling.BICUBIC, reducing_gap=3.0), kind
