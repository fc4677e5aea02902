"""What lies in an image folder: splits, classes, images, and what is none of these."""

import logging
import os
import re
import shlex
import stat
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path

from ..files import say_once, some_of
from .packed_images import PackedImages, is_packed
from .pillow_image import readable_extensions, remedy
from .system_entries import is_system, without_system

TRAIN_NAMES = ('train', 'training')
VAL_NAMES = ('val', 'valid', 'validation', 'eval', 'evaluation', 'dev', 'test', 'testing')
TEST_NAMES = VAL_NAMES[-2:]
# Where those to test on are not taken for those to validate on.
NAMES_OF_SPLITS = dict(train=TRAIN_NAMES, val=VAL_NAMES[:-2], test=TEST_NAMES)
# Folders of images of these names, or of a split and a year, are no classes.
_NO_CLASSES = frozenset((
    'images', 'image', 'imgs', 'img', 'pictures', 'photos', 'frames', 'data', 'labels',
    'annotations', 'jpegimages', 'masks', 'segmentationclass', 'segmentationobject',
    'obj_train_data', 'obj_valid_data', 'obj_test_data', *TRAIN_NAMES, *VAL_NAMES,
))  # fmt: skip
_SPLIT_OF_YEAR = re.compile(r'(?:train|val|test)[-_]?\d{4}', re.I)
ITSELF = '.'  # the folder to train on, of a set whose class folders lie in its root


def find_folder(data_root: str | os.PathLike, folder: str) -> str:
    """``folder`` if it lies in ``data_root``, else the one that stands for it; else ``folder``.

    ``train`` may be called ``training``; ``val`` may be called one of :data:`VAL_NAMES`, the first
    that is there; each in any case. Where class folders lie in ``data_root`` itself and none is
    named as a split, :data:`ITSELF` stands for ``train``; of other data, as an export is given,
    the other way round.

    Raises:
        ValueError: If two folders differ only in case, of which neither is the one asked for.
    """
    if folder == ITSELF:
        train = find_folder(data_root, 'train')
        return train if os.path.isdir(Path(data_root, train)) else folder
    if os.path.isdir(Path(data_root, folder)):
        return folder
    names = next((n for n in (TRAIN_NAMES, TEST_NAMES, VAL_NAMES) if folder.lower() in n), ())
    for name in names:
        found = [entry for entry in folders_in(data_root) if entry.lower() == name]
        if len(found) > 1 and name not in found:
            raise ValueError(
                f'{data_root} holds {" and ".join(found)}, which differ only in case: which of '
                f'them is {folder}? Rename or remove the other'
            )
        if found:
            return name if name in found else found[0]
    return ITSELF if names is TRAIN_NAMES and _holds_classes(Path(data_root)) else folder


def may_be_class(folder: str) -> bool:
    """Whether a folder of images may be a class by its name, and is no split or part of a set."""
    return folder.lower() not in _NO_CLASSES and not _SPLIT_OF_YEAR.fullmatch(folder)


def _holds_classes(root: Path) -> bool:
    """Whether folders with images right in them lie in a folder that is split in no way."""
    names = folders_in(root)
    if root.resolve().name.lower() in (*TRAIN_NAMES, *VAL_NAMES):
        return False
    if not all(map(may_be_class, names)) or any(
        os.path.isdir(root / name / train) for name in names for train in TRAIN_NAMES
    ):
        return False
    return sum(1 for _ in islice((n for n in names if _has_images(root / n)), 2)) == 2


def folders_in(folder: str | os.PathLike) -> list[str]:
    """Sorted names of the folders in a folder, without hidden ones and those of a system."""
    if not os.path.isdir(folder):
        return []
    return sorted(e.name for e in _entries(os.fspath(folder)) if _is(e.is_dir) and _is_ours(e))


def list_classes(
    data_root: str | Path, folder: str = 'train', passed: 'PassedOver | None' = None
) -> list[str]:
    """Sorted names of the class folders below ``data_root/folder``, or of its packed classes.

    Args:
        data_root (str): Where the folder lies.
        folder (str): See :func:`find_folder`. Defaults to 'train'.
        passed (PassedOver, optional): Is told what is no class.

    Raises:
        FileNotFoundError: If there are none; the message shows the expected layout.
    """
    root = Path(data_root, find_folder(data_root, folder))
    if is_packed(root):
        return without_system(sorted(PackedImages(root).files))
    classes = folders_in(root)
    if not classes:
        raise FileNotFoundError(layout(data_root, folder))
    if passed is not None:
        for entry in _entries(os.fspath(root)):
            if not _is(entry.is_dir):
                passed.add_file(entry.name, beside_classes=True)
            elif is_system(entry.name):
                passed.system.append(entry.name)
    return classes


def check_classes(
    classes: Sequence[str], found: Iterable[str], train: str | os.PathLike, other: str | os.PathLike
) -> None:
    """Check that another folder has only classes of the training folder.

    Args:
        classes (Sequence[str]): Of the training folder ``train``.
        found (Iterable[str]): Of the folder ``other``.

    Raises:
        ValueError: With those that it has besides, and of each the class that it may stand for.
    """
    unknown = sorted(set(found) - set(classes))
    if not unknown:
        return
    known = {_plain(name): name for name in classes}
    alike = {name: known[_plain(name)] for name in unknown if _plain(name) in known}
    listed = [
        f'{name!a} (in {train}: {alike[name]!a})' if name in alike else name for name in unknown
    ]
    hint = 'Remove them, or put images of them into the training folder too'
    if alike:
        hint = 'Names have to agree letter by letter, case, blanks and accents included: rename'
    raise ValueError(f'{other} has classes that {train} has not: {some_of(listed)}. {hint}')


def _plain(name: str) -> str:
    return unicodedata.normalize('NFKC', name).strip().casefold()


def same_but_for_case(
    classes: Iterable[str], form: Callable[[str], str] = _plain
) -> list[list[str]]:
    """Classes that are one name in another case, with other blanks or in another Unicode form.

    >>> same_but_for_case(['cat', 'Cat', 'cat '], str.casefold)  # in case alone
    [['cat', 'Cat']]
    """
    groups: dict[str, list[str]] = {}
    for name in classes:
        groups.setdefault(form(name), []).append(name)
    return [names for names in groups.values() if len(names) > 1]


# ---- images ------------------------------------------------------------------------------------


class PassedOver:
    """What lies in a folder and is no image: said in two lines, not with each file.

    Attributes:
        system (list[str]): Hidden entries and those of an operating system, below the folder.
        kinds (Counter): Number of other files by extension, '' where a name has none.
        loose (list[str]): Images that lie beside the class folders.
    """

    def __init__(self):
        self.system: list[str] = []
        self.kinds: Counter[str] = Counter()
        self.loose: list[str] = []

    def add_file(self, name: str, beside_classes: bool = False) -> None:
        """Note a file that is not taken, by its name below the folder."""
        extension = os.path.splitext(name)[1].lower()
        if is_system(os.path.basename(name)):
            self.system.append(name)
        elif beside_classes and extension in readable_extensions():
            self.loose.append(name)
        else:
            self.kinds[extension] += 1

    def say(self, root: str | os.PathLike) -> None:
        """Log what was passed over below ``root``, once in a process."""
        for line in self.lines(root):
            _report(line)

    def lines(self, root: str | os.PathLike) -> list[str]:
        """What was passed over below ``root``, a line for each kind of thing."""
        found = []
        if number := len(self.system):
            entries = 'entry' if number == 1 else 'entries'
            found.append(
                f'passed over {number} hidden or system {entries} below {root}: '
                f'{some_of(sorted(self.system))}'
            )
        if number := len(self.loose):
            what = 'image that lies' if number == 1 else 'images that lie'
            found.append(
                f'passed over {number} {what} in {root} beside the class folders, and so belong'
                f'{"s" if number == 1 else ""} to no class: {some_of(sorted(self.loose))}'
            )
        if self.kinds:
            kinds = self.kinds.most_common()
            shown = [f'{number} {kind or "without extension"}' for kind, number in kinds]
            number = self.kinds.total()
            files = 'file' if number == 1 else 'files'
            remedies = dict.fromkeys(filter(None, (remedy(kind) for kind, _ in kinds)))
            found.append(
                f'passed over {number} {files} below {root} whose extension is of no image that is '
                f'read here: {some_of(shown)}' + ''.join(f'. {text}' for text in remedies)
            )
        return found


def list_images(
    folder: str | os.PathLike,
    extensions: tuple[str, ...] | None = None,
    passed: PassedOver | None = None,
    below: str = '',
) -> list[str]:
    """Names of the images below a folder, at any depth, sorted.

    Links to images and folders are followed. Each folder is listed once, by its own name rather
    than by a link to it, so that links in a circle end, and no image is both trained on and held
    out by another name. Such links, and pipes, devices and sockets that are named as images, are
    passed over with a line. Broken links stay: they are reported when they are read.

    Args:
        folder (str): Where to look.
        extensions (tuple[str], optional): Of images, in lower case. Defaults to those that can be
            read here.
        passed (PassedOver, optional): Is told what was passed over.
        below (str): How it names the folder.

    Raises:
        OSError: If a folder cannot be read.
    """
    root, extensions = os.fspath(folder), extensions or readable_extensions()
    if not os.path.isdir(root):
        return []
    # A link to a folder above leads to other classes.
    above = (*Path(root).absolute().parents, *Path(root).resolve().parents)
    listed = {_identity(path): path for path in (*above, root)}
    names, folders, links = [], [''], []
    while folders or links:
        place = folders.pop() if folders else links.pop()
        path = os.path.join(root, place)
        if place:
            first = listed.setdefault(_identity(path), path)
            if first != path:
                _report(
                    f'passed over {path}: it leads to {first}, which holds it or is listed already'
                )
                continue
        for entry in _entries(path):
            name = os.path.join(place, entry.name)
            is_folder = _is(entry.is_dir)
            if is_system(entry.name) or not is_folder and not _ends(entry.name, extensions):
                if passed is not None and is_folder:
                    passed.system.append(os.path.join(below, name))
                elif passed is not None:
                    passed.add_file(os.path.join(below, name))
            elif is_folder:
                (links if entry.is_symlink() else folders).append(name)
            elif _is(entry.is_file) or not _is_special(entry.path):
                names.append(name)
            else:
                _report(f'passed over {entry.path}: it is not a regular file')
        links.sort(reverse=True)
    return sorted(names, key=lambda name: name.split(os.sep))


def list_folder(
    data_root: str | Path, folder: str = 'train', extensions: tuple[str, ...] | None = None
) -> dict[str, list[str]]:
    """Images of each class folder, which may be none; what is passed over is said.

    Raises:
        FileNotFoundError: If there are no class folders.
        OSError: If a folder cannot be read.
    """
    root = Path(data_root, find_folder(data_root, folder))
    if is_packed(root):
        files = PackedImages(root).files
        return {name: files[name] for name in list_classes(data_root, folder)}
    passed = PassedOver()
    names = list_classes(data_root, folder, passed)
    files = {name: list_images(root / name, extensions, passed, name) for name in names}
    passed.say(root)
    return files


def outer_files(
    root: str | os.PathLike, depth: int, extensions: tuple[str, ...] = ('',)
) -> list[str]:
    """Paths below a folder of files up to so many folders deep, the outer ones first, sorted.

    Unlike :func:`list_images`, which goes to the bottom: links to folders are not followed, and a
    folder that cannot be read has no files.

    Args:
        root (str): The folder.
        depth (int): Of folders below it; 0 for its own files alone.
        extensions (tuple[str, ...]): Of the files, in lower case. Defaults to any.
    """
    found = []
    for folder, folders, files in os.walk(root):
        below = os.path.relpath(folder, root)
        below = '' if below == '.' else below
        level = below.count(os.sep) + 1 if below else 0
        folders[:] = without_system(folders) if level < depth else []
        found += [
            (level, os.path.join(below, name)) for name in files
            if _ends(name, extensions) and not is_system(name)
        ]  # fmt: skip
    return [path for _, path in sorted(found)]


def _ends(name: str, extensions: tuple[str, ...]) -> bool:
    return name.lower().endswith(extensions)


def _identity(path: str | os.PathLike) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _entries(path: str) -> list[os.DirEntry]:
    try:
        with os.scandir(path) as entries:
            return list(entries)
    except OSError as error:
        raise OSError(error.errno, f'cannot list {path}: {error.strerror}') from error


def _is_ours(entry: os.DirEntry) -> bool:
    return not is_system(entry.name)


def _is(question) -> bool:
    try:
        return question()
    except OSError:  # links in a circle
        return False


def _is_special(path: str) -> bool:
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False


# ---- images without classes --------------------------------------------------------------------

# Of COCO they carry a year: train2017.
_TRAIN_SPLIT = re.compile(rf'(?:{"|".join(TRAIN_NAMES)})[-_]?(?:\d{{4}})?', re.I)
_OTHER_SPLIT = re.compile(rf'(?:{"|".join(VAL_NAMES)}|unlabell?ed)[-_]?(?:\d{{4}})?', re.I)


def find_images(data_root: str | os.PathLike) -> tuple[str, str]:
    """Where below a folder the images lie that may be trained on, and a line that says so.

    It is the folder itself, with all that is in it, unless that is split already: a folder for
    training in it (``train``, ``training``, ``train2017``, the newest of several; or one in its
    ``images``) is taken and the others are not. One named so beside other folders of images, none
    of which is for validation or testing, is a class like them.

    Returns:
        tuple[str, str]: The place below ``data_root``, '.' for itself, and the line.

    Raises:
        FileNotFoundError: If there is no such folder.
    """
    root = Path(data_root)
    if not root.is_dir():
        what = 'is a file, not a folder' if root.exists() else 'is not there'
        raise FileNotFoundError(
            f'data_root={root} {what}. Any folder of images will do, at any depth and without '
            'labels: --cfg-options data_root=FOLDER'
        )
    for place in ('.', 'images'):
        names = [] if is_packed(root / place) else folders_in(root / place)
        train = [name for name in names if _TRAIN_SPLIT.fullmatch(name)]
        other = [name for name in names if name not in train]
        splits = [name for name in other if _OTHER_SPLIT.fullmatch(name)]
        if not train or not splits and any(_holds_images(root / place / name) for name in other):
            continue
        taken = max(train, key=lambda name: (name.lower() in TRAIN_NAMES, name))
        left = [n for n in names if n != taken and (n in splits or _holds_images(root / place / n))]
        line = f'{root / place / taken} is taken'
        if left:
            line += f', {some_of(left)} beside it {"is" if len(left) == 1 else "are"} not'
        line += " (folder='.' of the data sets takes all)"
        return os.path.normpath(os.path.join(place, taken)), line
    splits = [name for name in folders_in(root) if _OTHER_SPLIT.fullmatch(name)]
    line = f'{root} is taken with all that is in it'
    return '.', line + (f', {some_of(splits)} too' if splits else '')


def _holds_images(folder: Path) -> bool:
    """Whether there are images in a folder or in one of its folders."""
    return any(_has_images(place) for place in (folder, *(folder / n for n in folders_in(folder))))


def list_unlabelled(
    folder: str | os.PathLike, extensions: tuple[str, ...] | None = None
) -> list[str]:
    """Names of all images below a folder or in its packed file; what is passed over is said.

    Raises:
        FileNotFoundError: If there is no such folder.
        OSError: If a folder in it cannot be read.
        ValueError: If it holds no image.
    """
    root, passed = Path(folder), PassedOver()
    if not root.is_dir():
        raise FileNotFoundError(f'no folder {root}')
    if is_packed(root):
        files = PackedImages(root).files.items()
        names = [os.path.join(name, image) for name, images in files for image in images]
    else:
        names = list_images(root, extensions, passed)
    if not names:
        found = [f'{n} {kind or "without extension"}' for kind, n in passed.kinds.most_common()]
        raise ValueError(
            f'no image below {root}'
            + (f'. It holds {some_of(found)}' if found else '')
            + f' (accepted: {" ".join(readable_extensions())})'
            + ''.join(f'. {t}' for t in dict.fromkeys(filter(None, map(remedy, passed.kinds))))
        )
    passed.say(root)
    return names


def num_of_all_held_out(number: int, holdout: float | str) -> int:
    """How many of a set's images are held out: at least one, and not all.

    Args:
        number (int): Of all of them.
        holdout (float | int | str): A share, a number of images, or 'auto'.

    Raises:
        ValueError: If there are too few for that.
    """
    if isinstance(holdout, int):
        count = holdout
    else:
        share = holdout_share(number) if holdout == 'auto' else holdout
        count = min(max(1, round(number * share)), number - 1)
    if not 0 < count < number:
        raise ValueError(
            f'{number} image{"s" * (number != 1)}, of which {max(count, 1)} cannot be held out and '
            'others trained on: give more images, at least 2, or another holdout'
        )
    return count


# ---- a held-out part ----------------------------------------------------------------------------


def holdout_share(num_images: int) -> float:
    """Share of a training set to rate paths on: 10 % or 500 images, whichever is less, but 2 %.

    Ratings on fewer images than that do not tell paths apart; more would be missed in training.

    >>> [holdout_share(n) for n in (1000, 10_000, 1_281_167)]
    [0.1, 0.05, 0.02]
    """
    return max(0.02, min(0.1, 500 / max(num_images, 1)))


def num_held_out(sizes: Sequence[int], holdout: float | str) -> list[int]:
    """How many images of each class are held out: at least one, but never its only one.

    Args:
        sizes (Sequence[int]): Images of each class.
        holdout (float | str): Share of each, or 'auto'.
    """
    share = holdout_share(sum(sizes)) if holdout == 'auto' else holdout
    return [min(max(1, round(size * share)), size - 1) if size > 1 else 0 for size in sizes]


def no_image_in(folders: Sequence[Path]) -> str:
    """The message about class folders without an image; which other files they hold is said."""
    kinds = Counter(
        path.suffix.lower() for folder in folders if folder.is_dir() for path in folder.iterdir()
        if path.is_file() and not is_system(path.name)
    )  # fmt: skip
    found = ', '.join(f'{number} {kind or "without extension"}' for kind, number in kinds.items())
    return (
        f'no image in {", ".join(map(str, folders[:5]))}'
        + (f' and {len(folders) - 5} more' if len(folders) > 5 else '')
        + '; remove the folder or fill it'
        + (f'. It holds {found}' if found else '')
        + f' (accepted: {" ".join(readable_extensions())})'
        + ''.join(f'. {text}' for text in dict.fromkeys(filter(None, map(remedy, kinds))))
    )


# ---- where the images may lie instead ----------------------------------------------------------


def layout(data_root: str | Path, folder: str) -> str:
    """Why there are no classes in ``data_root/folder``, and where they seem to be."""
    root = Path(data_root, folder)
    if hint := _elsewhere(Path(data_root), folder):
        return hint
    return (
        f'expected one folder per class below {root}, found '
        f'{"none" if root.is_dir() else "no such folder"}. Lay the images out like this:\n'
        f'  {data_root}/train/<class>/*.jpg\n'
        f'  {data_root}/val/<class>/*.jpg\n'
        'and name another place with: --cfg-options data_root=FOLDER'
    )


def _elsewhere(data_root: Path, folder: str) -> str | None:
    inside = folders_in(data_root)
    is_there = Path(data_root, folder).is_dir()
    if is_there or folder.lower() not in TRAIN_NAMES:
        return None
    if data_root.is_file():
        archive = data_root.suffix.lower() in ('.zip', '.tar', '.gz', '.tgz', '.7z', '.rar')
        return f'data_root={data_root} is a file, not a folder' + (
            ': unpack it, and name the folder that holds train' if archive else ''
        )
    deeper = [name for name in inside if _has_train(data_root / name)]
    if deeper:
        return (
            f'{data_root} has no folder train, but {some_of(deeper)} in it has: give '
            + ' or '.join(_option(data_root / name) for name in deeper[:5])
        )
    # A folder of classes has images right in its folders.
    classes = [name for name in inside if _has_images(data_root / name)]
    if not classes:
        return None
    if data_root.resolve().name.lower() in (*TRAIN_NAMES, *VAL_NAMES):
        return (
            f'data_root={data_root} is a folder of classes ({some_of(classes)}); data_root is the '
            f'one above it: {_option(data_root.parent)}'
        )
    return (
        f'{data_root} holds class folders itself ({some_of(classes)}), but no folder train. Move '
        f'them into {data_root}/train; a part of the images of each is then held out for '
        f'validation, unless there is a folder {data_root}/val'
    )


def _option(data_root: Path) -> str:
    return f'--cfg-options {shlex.quote(f"data_root={data_root}")}'


def _has_train(folder: Path) -> bool:
    try:
        return any(name.lower() in TRAIN_NAMES for name in folders_in(folder))
    except (OSError, ValueError):
        return False


def _has_images(folder: Path) -> bool:
    extensions = readable_extensions()
    try:
        with os.scandir(folder) as entries:  # the first image tells; there may be very many
            return any(_is_ours(e) and _ends(e.name, extensions) for e in entries)
    except OSError:
        return False


def _report(text: str) -> None:
    say_once(text, logging.WARNING)
