"""Boxes in other forms than COCO's, and sets without a split: COCO files are written of them."""

import atexit
import json
import os
import re
import shutil
import tempfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mmengine.config import Config

from ..datasets.box_set import BOX_KINDS, BoxImage, BoxSet, read_box_set
from ..datasets.coco_file import MAX_COCO_BYTES
from ..datasets.coco_layout import HELD_OUT_MARK, RUN_MARK, find_annotations, held_out_of, split_of
from ..datasets.coco_set import read_coco_set
from ..datasets.folder_listing import TRAIN_NAMES, VAL_NAMES
from ..datasets.set_kind import KINDS, find_kind
from ..files import rank_and_number, some_of
from ..files.read import read_json
from ..files.whole import write_whole
from .coco_data import coco_metrics, coco_sets, file_and_folder
from .fold_data import is_search

SHARE = 0.2  # of the images, to validate on where a set has no split
SEED = 0
_WRITTEN = re.compile(r'annotations(?:_\d+)?/(train|val|test)\.json$')
Say = Callable[[str], None]


def fit_boxes(cfg: Config, options: Mapping, say: Say, writes: bool) -> None:
    """Have COCO files in the place of those that a config's sets name and that are not there.

    A folder of PASCAL VOC, YOLO or a CSV of boxes is read, divided where it is not, and written to
    ``WORK_DIR/annotations/{train,val,test}.json``; so is a COCO set that has no file to validate
    on. Without changes of the data the files stay the same, byte for byte; with them, images that
    are still there keep their side.

    Args:
        cfg (Config): Changed in place: files, prefixes of images, and those of metrics.
        options (Mapping): Of the command line, dotted: what they name is what is meant.
        say (Callable): Takes a line for the user.
        writes (bool): Whether the run writes into its ``work_dir``; else the files are temporary.

    Raises:
        OSError: If something cannot be read or written.
        ValueError: If the data cannot be understood, or ``data_kind`` is none.
    """
    kind = cfg.get('data_kind')
    if kind is not None and kind not in KINDS:
        raise ValueError(f'data_kind is one of {", ".join(map(repr, KINDS))}; got {kind!r}')
    by_root: dict[str, list[tuple[str, dict]]] = {}
    for place, dataset in coco_sets(cfg):
        by_root.setdefault(dataset.get('data_root') or '', []).append((place, dataset))
    keys = {key.split('.')[-1] for key in options}
    of_all = bool(cfg.get('folds')) and not is_search(cfg)
    _follow_folder(cfg, [s[1] for sets in by_root.values() for s in sets], keys)
    for number, (root, sets) in enumerate(by_root.items()):
        # Folds are of all images, also of a config whose run held out some of a set.
        anew = of_all and any(held_out_of(file_and_folder(s[1])[0]) for s in sets)
        lacking = [s for s in sets if anew or _is_lacking(s[1], keys)]
        if not lacking or not os.path.isdir(root) or not root and kind is None:
            continue
        name, evidence = kind, f'data_kind={kind!r}'
        if name is None and (found := find_kind(root)):
            name, evidence = found.name, found.evidence
            if found.also:
                evidence += f' (not taken as {", ".join(found.also)}: data_kind=KIND chooses)'
        if name in BOX_KINDS and 'ann_file' not in keys:
            box_set = read_box_set(name, root)
            say(f'{root} is read as {evidence}')
        elif name == 'coco':
            sets = lacking = _undivided(root, sets, lacking)
            box_set = _coco_set(root, sets, anew) if sets else None
        else:
            box_set = None
        if box_set is not None:
            below = f'annotations_{number + 1}' if number else 'annotations'
            kept = Path(os.path.abspath(cfg.work_dir), below) if writes else None
            folder = kept if kept and rank_and_number()[0] == 0 else _temporary(root)
            pictures = _pictures(root, box_set.root)
            wanted = {_split_of(place, dataset) for place, dataset in lacking}
            if of_all:
                wanted = {'train'}  # none are held out besides
            _put(cfg, lacking, _write(box_set, wanted, folder, kept, say), pictures)


def _is_lacking(dataset: Mapping, keys: set[str]) -> bool:
    """Whether its file is not there, or was written of the data that the run had before."""
    path, _ = file_and_folder(dataset)
    is_of_other_data = 'data_root' in keys and _WRITTEN.search(dataset['ann_file'])
    return '://' not in path and (not os.path.exists(path) or bool(is_of_other_data))


def _follow_folder(cfg: Config, sets: Sequence[dict], keys: set[str]) -> None:
    """Take the files that lie beside the copy of a config, if its run's folder was moved.

    Written anew, they could have images to train on where those to validate on were.
    """
    beside, moved = os.path.dirname(os.path.abspath(cfg.filename or '')), {}
    for dataset in sets:
        old, written = dataset['ann_file'], _WRITTEN.search(dataset['ann_file'])
        new = os.path.join(beside, written[0]) if written and os.path.isabs(old) else ''
        if _is_lacking(dataset, keys) and 'data_root' not in keys and os.path.isfile(new):
            moved[old] = dataset['ann_file'] = new
    _move_metrics(cfg, moved)


def _split_of(place: str, dataset: Mapping) -> str:
    """The split that a set is meant to be of: its file says so, else its place in the config."""
    words = re.findall('[a-z]+', os.path.basename(dataset['ann_file']).lower())
    for split in ('train', 'val', 'test'):
        if split in words:
            return split
    return place.split('_')[0] if place in ('val_dataloader', 'test_dataloader') else 'train'


# ---- a COCO set without a file to validate on ----------------------------------------------------


def _undivided(root: str, sets: Sequence, lacking: Sequence) -> list[tuple[str, dict]]:
    """The sets of a root whose images have to be divided; none if :func:`fit_coco` finds them.

    A file that somebody has named is the one that is meant; COCO's own names, and ours of a
    work directory that has been moved, stand for any.
    """
    if any(not _is_any(dataset) for _, dataset in lacking):
        return []
    val = [dataset for place, dataset in lacking if _split_of(place, dataset) == 'val']
    folders = [file_and_folder(dataset)[1] for dataset in val]
    if not val or any(os.path.isdir(f) and not os.path.samefile(f, root) for f in folders):
        return []  # pictures to validate on are there, and their file has been lost
    return [] if find_annotations(root, VAL_NAMES) else list(sets)


def _is_any(dataset: Mapping) -> bool:
    name = dataset['ann_file']
    return bool(split_of(name) or os.path.isabs(name) and _WRITTEN.search(name))


def _coco_set(root: str, sets: Sequence[tuple[str, dict]], anew: bool) -> BoxSet | None:
    train = next((d for place, d in sets if _split_of(place, d) == 'train'), None)
    if train is None:
        return None
    path, folder = file_and_folder(train)
    if os.path.exists(path) and not anew:
        prefix = os.path.relpath(folder, root) if os.path.isdir(folder) else None
        return read_coco_set(root, os.path.relpath(path, root), prefix)
    try:
        return read_coco_set(root)
    except (FileNotFoundError, ValueError):
        if find_annotations(root, TRAIN_NAMES):
            raise
        return None  # fit_coco says what it expects, and what is there


# ---- dividing and writing ------------------------------------------------------------------------


_made: list[str] = []


def _temporary(root: str) -> Path:
    """A folder for what is made of a data set, removed when this process ends."""
    if not _made:
        _made.append(tempfile.mkdtemp(prefix='cream_mm_'))
        atexit.register(shutil.rmtree, _made[0], ignore_errors=True)
    return Path(_made[0], f'{zlib.crc32(os.path.abspath(root).encode()):08x}', 'annotations')


def _write(
    box_set: BoxSet, wanted: set[str], folder: Path, kept: Path | None, say: Say
) -> dict[str, str]:
    """Write the file of each split into a folder.

    Args:
        box_set (BoxSet): What is written.
        wanted (set[str]): Splits that are asked for.
        folder (Path): Where; on further ranks that is one of their own.
        kept (Path, optional): Where the run has what it wrote before.
        say (Callable): Takes a line for the user.

    Returns:
        dict[str, str]: A file for each of 'train', 'val' and 'test'.
    """
    for note in box_set.notes:
        say(note)
    before = {split: _names_in(kept, split) for split in ('train', 'val')}
    splits = divide(box_set, wanted, before, say)
    files, changed = {}, []
    for split, images in splits.items():
        path = folder / f'{split}.json'
        content = box_set.content(images)
        info = dict([RUN_MARK])
        if split == 'val' and 'train' in splits and not box_set.splits.get('val'):
            info[HELD_OUT_MARK] = len(images) + len(splits['train'])
        info.update(content.pop('info', None) or {})
        content = json.dumps(dict(info=info, **content), separators=(',', ':')).encode() + b'\n'
        files[split] = str(path)
        if path.is_file() and path.read_bytes() == content:
            continue
        if path.is_file():
            changed.append(path.name)
        write_whole(path, content)
    counts = [
        f'{split}.json with {len(images)} images and {sum(len(i.boxes) for i in images)} boxes'
        for split, images in splits.items()
    ]
    say(f'{box_set.root}: {len(box_set.classes)} classes, written to {folder}: {", ".join(counts)}')
    if changed:
        say(
            f'{folder}: the data is another than when {", ".join(changed)} '
            f'{"was" if len(changed) == 1 else "were"} written; written anew'
        )
    for split in ('val', 'test'):
        if split not in files:
            files[split] = files.get('test') or files.get('val') or files['train']
    files.setdefault('train', next(iter(files.values())))
    return files


def divide(
    box_set: BoxSet, wanted: set[str], before: Mapping[str, set[str]], say: Say
) -> dict[str, list[BoxImage]]:
    """The images of 'train', 'val' and 'test'; without a split, some are held out of the training.

    Args:
        box_set (BoxSet): The set.
        wanted (set[str]): Splits that are asked for. Of a set that one split only is asked of,
            nothing is held out.
        before (Mapping[str, set[str]]): Paths of images that were in 'train' and 'val' before.
        say (Callable): Takes a line for the user.

    Raises:
        ValueError: If there are too few images.
    """
    splits = {name: images for name, images in box_set.splits.items() if images}
    root, rest = box_set.root, splits.pop('all', None)
    if rest is not None and len(wanted) == 1:
        return {next(iter(wanted)): rest}
    if rest is None:
        _say_shared(root, splits, say)
        if 'val' in splits or 'train' not in splits or not wanted & {'val', 'test'}:
            return splits
        if 'test' in splits:
            say(
                f'{root}: the test images are validated on, as there are no others to do so. A '
                'training keeps the checkpoint that is best on them: no test of that one'
            )
            return splits
        rest = splits['train']
    from ..datasets.box_split import split_images  # here: with torch

    known = {image.path for image in rest}
    sides = [known & before[split] for split in ('train', 'val')]
    if all(sides):
        held = [i for i in rest if i.path in sides[1]]
        new = [i for i in rest if i.path not in sides[0] | sides[1]]
        if len(new) > 1:
            held += split_images(new, SHARE, SEED, root)[1]
    else:
        _, held = split_images(rest, SHARE, SEED, root)
    paths = {image.path for image in held}
    splits['train'] = [image for image in rest if image.path not in paths]
    splits['val'] = [image for image in rest if image.path in paths]
    say(
        f'{root} has no split: {len(splits["train"])} of {len(rest)} images to train on, '
        f'{len(splits["val"])} to validate on, seed {SEED}'
    )
    return splits


def _say_shared(root: str, splits: Mapping[str, Sequence[BoxImage]], say: Say) -> None:
    trained = {image.path for image in splits.get('train', ())}
    for split in ('val', 'test'):
        both = [image.path for image in splits.get(split, ()) if image.path in trained]
        if both:
            say(
                f'{root}: {len(both)} of the {len(splits[split])} images of {split} are trained '
                f'on as well, so that what is measured on it comes out too high: {some_of(both, 3)}'
            )


def _names_in(folder: Path | None, split: str) -> set[str]:
    """File names of the images of a split that was written before."""
    if folder is None:
        return set()
    try:
        content = read_json(folder / f'{split}.json', max_bytes=MAX_COCO_BYTES, max_values=None)
        return {image['file_name'] for image in content['images']}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def _pictures(data_root: str, root: str) -> str:
    """Where the pictures of a set lie: '' in data_root; a data.yaml may name a folder outside."""
    return '' if os.path.realpath(root) == os.path.realpath(data_root) else os.path.abspath(root)


def _put(
    cfg: Config, sets: Sequence[tuple[str, dict]], files: Mapping[str, str], pictures: str
) -> None:
    moved = {}
    for place, dataset in sets:
        old, _ = file_and_folder(dataset)
        moved[old] = dataset['ann_file'] = files[_split_of(place, dataset)]
        dataset['data_prefix'] = dict(img=pictures)
    _move_metrics(cfg, moved)


def _move_metrics(cfg: Config, moved: Mapping[str, str]) -> None:
    """Have metrics read the files that sets read in place of others."""
    for side in ('val', 'test'):
        for metric in coco_metrics(cfg.get(f'{side}_evaluator')):
            if metric.get('ann_file') in moved:
                metric['ann_file'] = moved[metric['ann_file']]
