"""A folder of small images as one file, of which a sample is a slice.

At 32 pixels, opening and decoding a file takes longer than everything that is done to the image.
``images.npy`` holds the pixels of all images of a split, memory-mapped when it is read;
``images.json`` holds the classes and the names of their files, in the order of the rows.
"""

import itertools
import math
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..files import check_regular, read_json, write_json
from .system_entries import without_system

FORMAT = 'cream_mm.packed_images/1'
PIXELS, NAMES = 'images.npy', 'images.json'
MAX_NAMES_BYTES, MAX_IMAGES = 2**30, 20_000_000


class PackedImages:
    """Images of one size, read in place. Nothing in the files is executed.

    Args:
        folder (str): Holds ``images.npy`` and ``images.json``.

    Attributes:
        files (dict[str, list[str]]): class -> names below its folder; rows count through them.

    Shapes:
        self[row]: (H, W, 3) uint8, BGR, a copy.

    Raises:
        FileNotFoundError: If one of the two files is missing.
        ValueError: If they are damaged, or contradict each other.
    """

    def __init__(self, folder: str | os.PathLike):
        self.folder = Path(folder)
        self.files = _read_names(self.folder)
        path, count = self.folder / PIXELS, sum(map(len, self.files.values()))
        try:
            self._pixels = _map_pixels(path)
        except FileNotFoundError:
            raise FileNotFoundError(f'{path} is missing; {_AGAIN}') from None
        except Exception as error:  # of a damaged header, numpy's reader raises all sorts
            raise ValueError(f'{path} is damaged ({error}); {_AGAIN}') from error
        if len(self) != count:
            raise ValueError(
                f'{path} holds {len(self)} images, but {NAMES} names {count} images; {_AGAIN}'
            )

    def __len__(self) -> int:
        return len(self._pixels)

    def __getitem__(self, row: int) -> np.ndarray:
        return np.array(self._pixels[row])

    def first_row(self, name: str) -> int:
        """Row of the first image of a class."""
        before = itertools.takewhile(lambda key: key != name, self.files)
        return sum(len(self.files[key]) for key in before)

    def __reduce__(self):
        return PackedImages, (self.folder,)  # a memory map would be pickled as all its pixels


def is_packed(folder: str | os.PathLike) -> bool:
    """Whether the folder holds packed images, or what is left of them.

    Raises:
        ValueError: If it holds folders as well: those would be passed over without a word.
    """
    folder = Path(folder)
    paths = [folder / name for name in (PIXELS, NAMES)]
    # A pipe or a broken link, too: it is told when it is read.
    if not any(os.path.lexists(path) and not path.is_dir() for path in paths):
        return False
    beside = without_system(sorted(p.name for p in folder.iterdir() if p.is_dir()))
    if beside:
        raise ValueError(
            f'{folder} holds packed images, {PIXELS}, and beside them folders: '
            f'{", ".join(beside[:5])}. Remove one or the other'
        )
    return True


def write_packed(folder: Path, files: dict[str, list[str]], images: Iterable[np.ndarray]) -> None:
    """Write packed images; ``images.json``, without which they are not read, comes last.

    Args:
        folder (Path): Where to.
        files (dict[str, list[str]]): class -> names.
        images (Iterable[np.ndarray]): One for each name, in that order.

    Shapes:
        images: (H, W, 3) uint8, BGR, all alike.

    Raises:
        OSError: If the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    count, written = sum(map(len, files.values())), 0
    # Not through a memory map: on a full disk, that would kill the process.
    with open(folder / PIXELS, 'wb') as file:
        for image in images:
            if written == 0:
                header = dict(descr='|u1', fortran_order=False, shape=(count, *image.shape))
                np.lib.format.write_array_header_1_0(file, header)
            file.write(np.ascontiguousarray(image))
            written += 1
        file.flush()
        os.fsync(file.fileno())
    if written != count:
        raise ValueError(f'{count} names, but {written} images')
    write_json(folder / NAMES, dict(format=FORMAT, files=files))


_AGAIN = 'write the folder again with tools/prepare_images.py'


def _map_pixels(path: Path) -> np.ndarray:
    """(N, H, W, 3) uint8, mapped: what the header says is what the file holds.

    numpy would believe a header that claims to be of 4 GB, and read as much.
    """
    size = check_regular(path).st_size
    with open(path, 'rb') as file:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):  # what write_packed writes; its header has 64 kB at most
            raise ValueError(f'NPY version {version}, not (1, 0)')
        shape, is_fortran, kind = np.lib.format.read_array_header_1_0(file)
        is_image = len(shape) == 4 and min(shape) > 0 and shape[3] == 3
        if kind != np.uint8 or is_fortran or not is_image:
            raise ValueError(f'it holds {shape} of {kind}, not (N, H, W, 3) of uint8')
        if shape[1] * shape[2] > 2**26:
            raise ValueError(f'images of {shape[2]} x {shape[1]} pixels')
        missing = file.tell() + math.prod(shape) - size
        if missing:
            raise ValueError(f'{abs(missing)} bytes too {"few" if missing > 0 else "many"}')
        mapped = np.memmap(file, np.uint8, 'r', file.tell(), shape)
    return np.asarray(mapped)  # a plain array of the same memory is quicker to take a slice of


def _read_names(folder: Path) -> dict[str, list[str]]:
    path = folder / NAMES
    try:
        content = read_json(path, max_bytes=MAX_NAMES_BYTES, max_values=MAX_IMAGES)
    except FileNotFoundError:
        raise FileNotFoundError(f'{path} is missing; {_AGAIN}') from None
    except ValueError as error:
        raise ValueError(f'{path} is damaged ({error}); {_AGAIN}') from error
    files = content.get('files') if isinstance(content, dict) else None
    is_sound = isinstance(files, dict) and all(
        isinstance(names, list) and all(isinstance(name, str) for name in names)
        for names in files.values()
    )
    if not is_sound or content.get('format') != FORMAT:
        raise ValueError(f'{path} is not of the format {FORMAT}; {_AGAIN}')
    return files
