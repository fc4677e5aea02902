"""Fits a config to the image folders that it names, and says what is in them."""

import logging
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmengine.config import Config, ConfigDict

from ..command_line import PLACES
from ..datasets.augmented import augmented_stem
from ..datasets.folder_listing import (
    ITSELF,
    TRAIN_NAMES,
    VAL_NAMES,
    check_classes,
    find_images,
    folders_in,
    list_unlabelled,
    no_image_in,
    num_held_out,
    num_of_all_held_out,
    same_but_for_case,
)
from ..datasets.folds import in_fold, in_share
from ..datasets.packed_images import is_packed
from ..files import rank_and_number, say_early, some_of
from ..files.arch_file import IN_FOLDERS, SPLIT
from ..registry import kind_of
from .carry import carry, entries
from .enlarged_images import say_enlarged
from .image_listing import listing_of

if TYPE_CHECKING:
    from ..datasets.folder_check import Picture

PART_KEYS = (*SPLIT, 'folds', 'fold')  # that make a split of a set
SMALL_BATCH = 8  # images; of fewer, batch norm's statistics are mostly noise


def warn(message: str) -> None:
    """:func:`say_early`, as a warning."""
    say_early(message, logging.WARNING)


def names_of_places_as_text(content: dict) -> None:
    """``data_root=2024`` names a folder: numbers become text, ``~`` the home, in place.

    Keys may be dotted.
    """
    for holder, key in list(entries({'': content})):
        value = holder[key]
        if str(key).split('.')[-1] not in PLACES or isinstance(value, bool):
            continue
        if isinstance(value, (int, float)):
            holder[key] = str(value)
        elif isinstance(value, os.PathLike):
            holder[key] = os.fspath(value)
        elif isinstance(value, str) and value.startswith('~') and not os.path.exists(value):
            holder[key] = os.path.expanduser(value)


def fit_to_folders(cfg: Config, datasets: Sequence[ConfigDict]) -> list[str] | None:
    """Give every set of images in folders the folders that are there, and look at them.

    A folder that goes by another usual name is found (``validation`` for ``val``). Where there is
    none to validate on, a part of the training images is held out for it. A batch larger than the
    training set becomes the training set. Of images without labels, what is taken is said.

    Args:
        cfg (Config): Changed in place.
        datasets (Sequence[ConfigDict]): All its datasets.

    Returns:
        list[str], optional: The classes in the order of their labels; None without an ImageFolder.

    Raises:
        FileNotFoundError: If a folder is missing; says where the images seem to lie.
        ValueError: If there is a single class, a class without an image, or folders contradict
            each other.
    """
    _fit_to_images(cfg, [d for d in datasets if _is_unlabelled(d)])
    folders = [d for d in datasets if _is_image_folder(d)]
    if not folders:
        return None
    for dataset in folders:
        if isinstance(share := dataset.get('holdout'), int):
            raise ValueError(
                f"holdout of ImageFolder is a share between 0 and 1, or 'auto': {share}"
            )
    for text in dict.fromkeys(map(_find, folders)):
        if text:
            say_early(text)
    training = _inside(cfg.get('train_dataloader'), folders)
    first = (training or folders)[0]
    listing = listing_of(first)
    train = first.get('folder', 'train') if training else listing.find('train')
    classes, named = listing.classes_of(train), (first.get('metainfo') or {}).get('classes')
    if named is not None and sorted(named) == classes:
        classes = list(named)  # in an order of the user's; an export names those of other data
    for dataset in folders:
        _follow_classes(dataset, first, train, classes)
    if not training:
        return classes
    _check_number(classes, Path(listing.where(train)))
    for alike in same_but_for_case(classes):
        warn(
            f'{listing.where(train)} has classes that are one name in several forms (case, blanks '
            f'or accents): {", ".join(map(ascii, alike))}. They stay different classes'
        )
    listed: dict[Path, dict[str, list[str]]] = {}  # once each: there may be millions
    _hold_out(folders, training, listed)
    for dataset in folders:
        found = listing_of(dataset).classes_of(dataset.get('folder', 'train'))
        check_classes(classes, found, listing.where(train), _where(dataset))
    _say_rated_on_trained(cfg, training)
    _fit_batch(cfg, training, listed)
    for dataset in folders:
        if dataset.get('part') == 'holdout':
            _check_held_out(_where(dataset), _files(dataset, listed))
    return classes


def lacks_folders(datasets: Sequence[Mapping]) -> bool:
    """Whether a place of image folders is not there, so that :func:`fit_to_folders` raises."""
    roots = (dataset.get('data_root') for dataset in datasets if _is_any(dataset))
    return any(isinstance(root, str) and not os.path.isdir(root) for root in roots)


def limit_top_k(cfg: Config, num_classes: int) -> None:
    """Leave out what says nothing: top-5 of three classes. In place, with a line."""
    left_out = set()
    for side in ('val', 'test'):
        metrics = cfg.get(f'{side}_evaluator')
        for metric in metrics if isinstance(metrics, (list, tuple)) else [metrics]:
            if not isinstance(metric, dict) or kind_of(metric) != 'Accuracy':
                continue
            topk = metric.get('topk', (1,))
            topk = tuple(topk) if isinstance(topk, (list, tuple)) else (topk,)
            kept = tuple(k for k in topk if k <= num_classes)
            left_out |= set(topk) - set(kept)
            metric['topk'] = kept or (1,)
    if not left_out:
        return
    say_early(
        f'{", ".join(f"top-{k}" for k in sorted(left_out))} is left out: the data has '
        f'{num_classes} classes'
    )
    checkpoint = (cfg.get('default_hooks') or {}).get('checkpoint')
    if isinstance(checkpoint, dict):
        gone = {f'accuracy/top{k}' for k in left_out}
        if checkpoint.get('save_best') in gone:
            checkpoint['save_best'] = 'accuracy/top1'


# ---- which folder ------------------------------------------------------------------------------


def _is_image_folder(dataset: Mapping) -> bool:
    return kind_of(dataset) in IN_FOLDERS


def _is_unlabelled(dataset: Mapping) -> bool:
    return kind_of(dataset) == 'UnlabelledImages'


def _inside(node: Any, folders: Sequence[ConfigDict]) -> list[ConfigDict]:
    """Those of the datasets that stand below a node of the config."""
    inner = [holder[key] for holder, key in entries({'': node})]
    return [folder for folder in folders if any(folder is value for value in inner)]


def _place(dataset: Mapping) -> Path:
    return Path(dataset['data_root'], dataset.get('folder', 'train'))


def _where(dataset: Mapping) -> str:
    return listing_of(dataset).where(dataset.get('folder', 'train'))


def _find(dataset: ConfigDict) -> str | None:
    """Put the folder that is there in the place of the one asked for; a line if it is another."""
    listing, asked = listing_of(dataset), dataset.get('folder', 'train')
    found = listing.find(asked)
    if found == asked:
        return None
    dataset['folder'] = found
    if found == ITSELF:
        return f'{listing.where(found)} holds class folders itself: all of them are trained on'
    if asked == ITSELF:
        return f'{listing.where(found)} is trained on'
    text = f'{listing.where(found)} is taken for {asked}, which is not there'
    others = [n for n in listing.names() if n.lower() in VAL_NAMES and n != found]
    if others and asked.lower() in VAL_NAMES:
        text += f' ({", ".join(others)} {"is" if len(others) == 1 else "are"} not used)'
    elif found.lower() in ('test', 'testing') and asked.lower() not in ('test', 'testing'):
        text += '. A retraining keeps the checkpoint that is best on it: no test of that one'
    return text


def _follow_classes(
    dataset: ConfigDict, first: ConfigDict, train: str, classes: Sequence[str]
) -> None:
    """Labels are those of the training folder, also where a dataset would not find it."""
    named = (dataset.get('metainfo') or {}).get('classes') is not None
    same_root = dataset['data_root'] == first['data_root']
    if same_root and train.lower() in TRAIN_NAMES and not named:
        return
    dataset['metainfo'] = dict(dataset.get('metainfo') or {}, classes=tuple(classes))


def _check_number(classes: Sequence[str], folder: Path) -> None:
    if len(classes) > 1:
        return
    inner = [] if is_packed(folder) else folders_in(folder / classes[0])
    hint = 'Give it a second one, of images without it for example'
    if len(inner) > 1:
        hint = (
            f'If the classes are {some_of(inner)}, which lie in it, move them up: '
            f'{folder}/<class>/*.jpg'
        )
    raise ValueError(
        f'{folder} has a single class, {classes[0]}: there is nothing to tell apart. {hint}'
    )


def _hold_out(
    folders: Sequence[ConfigDict], training: Sequence[ConfigDict], listed: dict[Path, dict]
) -> None:
    """Where there is no folder to validate on, hold out a part of the training images.

    Raises:
        FileNotFoundError: If too few images are there for that.
    """
    first = training[0]
    root, train, listing = first['data_root'], first.get('folder', 'train'), listing_of(first)
    missing = [d for d in folders if d['data_root'] == root and _lacks_validation(d)]
    if not missing:
        return
    files = list(_files(first, listed).values())
    part = {key: first[key] for key in PART_KEYS if key in first}
    if first.get('part', 'all') == 'all':  # of a search's weights, what it was not trained on
        part = dict(dict(holdout='auto'), **{k: part[k] for k in SPLIT if k in part})
    held = sum(_held_out(files, part))
    if first.get('part', 'all') == 'holdout' or not held:
        raise FileNotFoundError(
            f'{listing.missing(missing[0]["folder"])}\n(No class of {train} has two images, of '
            'which one could be held out instead)'
        )
    for dataset in training:
        if dataset['data_root'] == root and dataset.get('part', 'all') == 'all':
            dataset.update(part='train', **part)
    for dataset in missing:
        dataset.update(folder=train, part='holdout', **part)
    lacks, choose = listing.no_validation()
    place = root if train == ITSELF else train
    warn(
        f'{lacks}: {held} of the {sum(map(len, files))} images of {place} are held out of the '
        f'training, some of each class, and validated on. To choose them yourself, {choose}'
    )


def _check_held_out(where: str, files: Mapping[str, list[str]]) -> None:
    if not any(len(images) > 1 for images in files.values()):
        raise ValueError(
            f'no class of {where} has two images, of which one could be held out of the training '
            'to rate paths on'
        )


def _lacks_validation(dataset: Mapping) -> bool:
    is_whole = dataset.get('part', 'all') == 'all'
    is_usual = dataset.get('folder', '').lower() in VAL_NAMES
    return is_whole and is_usual and not listing_of(dataset).has(dataset['folder'])


def _say_rated_on_trained(cfg: Config, training: Sequence[ConfigDict]) -> None:
    trained = {_place(d) for d in training}
    for side in ('val', 'test'):
        for dataset in _datasets_of(cfg.get(f'{side}_dataloader')):
            if dataset.get('part', 'all') != 'holdout' and _place(dataset) in trained:
                warn(
                    f'{side}_dataloader reads {_where(dataset)}, which is trained on: its numbers '
                    'say nothing about new images'
                )


def _datasets_of(
    node: Any, is_one: Callable[[Mapping], bool] = _is_image_folder
) -> Iterator[ConfigDict]:
    for holder, key in entries({'': node}):
        if isinstance(holder[key], dict) and is_one(holder[key]):
            yield holder[key]


def _is_any(dataset: Mapping) -> bool:
    return _is_image_folder(dataset) or _is_unlabelled(dataset)


# ---- how many images ---------------------------------------------------------------------------


def _files(dataset: Mapping, listed: dict[Path, dict]) -> dict[str, list[str]]:
    place = _place(dataset)
    if place not in listed:
        listed[place] = listing_of(dataset).files(dataset.get('folder', 'train'))
    return listed[place]


def _fit_batch(cfg: Config, training: Sequence[ConfigDict], listed: dict[Path, dict]) -> None:
    """Check the images of the training set, and fit the batch to them."""
    number = 0
    for dataset in training:
        files = _files(dataset, listed)
        sizes = list(map(len, files.values()))
        if empty := [_place(dataset) / name for name, images in files.items() if not images]:
            raise ValueError(no_image_in(empty))
        held = _held_out(list(files.values()), dataset)
        part = dataset.get('part', 'all')
        number += {'all': sum(sizes), 'holdout': sum(held)}.get(part, sum(sizes) - sum(held))
        # One of several labels may be alone here, and beside others elsewhere.
        is_multi = listing_of(dataset).is_multi
        lone = [name for name, size in zip(files, sizes) if size == 1 and not is_multi]
        if lone and part != 'all':
            say_early(
                f'{len(lone)} class{"es" * (len(lone) > 1)} of {_where(dataset)} with a single '
                f'image, which is trained on and never held out: {some_of(lone)}'
            )
    _fit_batch_to(cfg, training, number)


def _held_out(paths: Sequence[Sequence[str]], part: Mapping) -> list[int]:
    """How many images of each class a part of a set of folders holds out.

    Raises:
        ValueError: If there are more folds than images.
    """
    sizes = list(map(len, paths))
    if not part.get('folds'):
        counts = num_held_out(sizes, part.get('holdout', 0.02))
        if not any(map(augmented_stem, chain.from_iterable(paths))):
            return counts
        return [
            len(in_share(names, count, part.get('split_seed', 0), label))
            for label, (names, count) in enumerate(zip(paths, counts))
        ]
    if sum(sizes) < part['folds']:
        raise ValueError(f'{sum(sizes)} images cannot be dealt out to {part["folds"]} folds')
    which = part['folds'], part['fold'], part.get('split_seed', 0)
    return list(map(len, in_fold(paths, *which, spare_lone=True)))


def _fit_batch_to(cfg: Config, training: Sequence[ConfigDict], number: int) -> None:
    """Fit the batch to the number of images that are trained on."""
    loader = cfg.train_dataloader
    size, whole = loader.get('batch_size'), loader.get('dataset') or {}
    is_plain = any(whole is dataset for dataset in training) and 'indices' not in whole
    if not is_plain or loader.get('batch_sampler') or type(size) is not int or size < 1:
        return  # of a set that is repeated or cut, the folder does not tell the number
    per_rank = math.ceil(number / rank_and_number()[1])
    if per_rank < 2:
        raise ValueError(
            f'{number} image{"s" * (number != 1)} to train on, of which each process gets '
            f'{per_rank}: batch norm needs two at least'
        )
    side = cfg.get('input_size')
    if size == 1 and isinstance(side, int) and side <= 32:
        raise ValueError(
            f'batch_size=1 with input_size={side}: the last maps have a single pixel, and batch '
            'norm needs more than one number. Take batch_size=2 or more'
        )
    if size > per_rank:
        warn(
            f'batch_size={size} is more than the {per_rank} images that are trained on'
            f'{" by each process" if per_rank < number else ""}: it becomes {per_rank}, one step '
            'per epoch. A smaller batch_size takes more steps'
        )
        carry(cfg._cfg_dict, dict(batch_size=(size, per_rank)))
        loader['batch_size'] = per_rank
        if 'batch_size' in cfg:
            cfg.batch_size = per_rank


# ---- images without labels ---------------------------------------------------------------------


def _fit_to_images(cfg: Config, sets: Sequence[ConfigDict]) -> None:
    """Say of every ``UnlabelledImages`` which folder is taken, and fit the batch to it.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it holds no image, or too few to hold some out.
    """
    training = _inside(cfg.get('train_dataloader'), sets)
    numbers: dict[Path, int] = {}
    for dataset in [*training, *(d for d in sets if not any(d is t for t in training))]:
        root, line = dataset['data_root'], None
        if dataset.get('folder') is None:
            dataset['folder'], line = find_images(root)
        elif not os.path.isdir(root):
            find_images(root)  # says that it is not there
        place = _place(dataset)
        is_new = place not in numbers
        if is_new:
            numbers[place] = len(list_unlabelled(place))
        number, held = numbers[place], None
        if dataset.get('part', 'all') != 'all':
            held = num_of_all_held_out(number, dataset.get('holdout', 'auto'))
        if is_new:
            line = f'{line or f"{place} is taken"}: {number} images without labels'
            say_early(line + (f', {held} of them held out' if held else ''))
        if dataset is (cfg.get('train_dataloader') or {}).get('dataset'):
            part = dataset.get('part', 'all')
            trained = dict(all=number, holdout=held, train=number - (held or 0)).get(part, number)
            _fit_batch_to(cfg, [dataset], trained)


# ---- the files ---------------------------------------------------------------------------------


def look_before_training(cfg: Config, *, max_images: int | None = None) -> None:
    """Say which images cannot be read, which lie in two places, and when a batch is very small.

    Args:
        cfg (Config): Of :func:`cream_mm.config.load_config`, its data checked.
        max_images (int, optional): Of more than these, nothing is looked at; that is said.
            Defaults to None: ``folder_check.MAX_IMAGES``.

    Raises:
        ValueError: If no image of a training class can be read.
    """
    if rank_and_number()[0] != 0:
        return
    from ..datasets.folder_check import MAX_IMAGES, Picture, look_at  # with mmcv's transforms

    max_images = MAX_IMAGES if max_images is None else max_images
    splits: dict[Path, bool] = {}
    sets: dict[Path, Mapping] = {}
    size = (cfg.get('train_dataloader') or {}).get('batch_size')
    in_folders = any(_datasets_of(cfg.get('train_dataloader'), _is_any))
    hooks = [hook for hook in cfg.get('custom_hooks') or [] if isinstance(hook, dict)]
    is_cared_for = cfg.get('sync_bn') or any(kind_of(h) == 'SmallBatchNormHook' for h in hooks)
    if in_folders and isinstance(size, int) and size < SMALL_BATCH and not is_cared_for:
        warn(
            f'batch_size={size}: batch norm takes its statistics from {size} '
            f'image{"s" * (size > 1)} at a time, which makes them noisy, and validation worse '
            f'than training. Where memory allows, take {SMALL_BATCH} or more; on several GPUs, '
            'sync_bn="torch" counts those of all'
        )
    for side in ('train', 'val'):
        for dataset in _datasets_of(cfg.get(f'{side}_dataloader'), _is_any):
            if not is_packed(_place(dataset)):
                splits.setdefault(_place(dataset), side == 'train')
                sets.setdefault(_place(dataset), dataset)
    pictures = []
    for place, dataset in sets.items():
        if _is_unlabelled(dataset):
            pictures += [Picture(place / file, place.name, '') for file in list_unlabelled(place)]
            continue
        listing = listing_of(dataset)
        folder = dataset.get('folder', 'train')
        pictures += [
            Picture(listing.path(folder, name, file), place.name, name)
            for name, files in listing.files(folder).items()
            for file in files
        ]
    if 'input_sizes' in cfg:  # where the size is a choice
        say_enlarged([picture.path for picture in pictures], cfg.get('input_size'), warn)
    whole = any(map(_is_unlabelled, sets.values()))
    found = look_at(pictures, max_images=max_images)
    if pictures and not found.num_seen:
        say_early(
            f'{len(pictures)} images: damaged and repeated ones are not looked for among more '
            f'than {max_images}; damaged ones are reported when they are read'
        )
    elif found.num_seen < found.num_images:
        say_early(
            f'{found.num_seen} of {found.num_images} images were looked at, in the time that '
            'there is for it'
        )
    if found.unreadable:
        warn(
            f'{len(found.unreadable)} of {found.num_seen} images cannot be read whole. In training '
            'another one is drawn for each; in validation what decodes counts, grey where nothing '
            'does: ' + some_of([f'{picture.path} ({why})' for picture, why in found.unreadable])
        )
        trained = {place.name for place, is_trained in splits.items() if is_trained}
        damaged = Counter((p.split, p.name) for p, _ in found.unreadable if p.split in trained)
        sizes = Counter((p.split, p.name) for p in pictures)
        if lost := [Path(*key) for key, number in damaged.items() if number == sizes[key]]:
            raise ValueError(
                f'no image of {some_of(list(map(str, lost)))} can be read. Mend the files, or '
                'remove the folder'
            )
    if two := found.in_two_classes:
        warn(
            f'WRONG LABELS: {len(two)} picture{"s" * (len(two) > 1)} with the same bytes in two '
            f'classes, so that one of the labels is wrong: {_pairs(two)}. Remove each from '
            'where it does not belong'
        )
    if two := found.in_two_splits:
        warn(
            f'{len(two)} picture{"s" * (len(two) > 1)} with the same bytes to train on and to '
            f'validate on: {_pairs(two)}. The accuracy comes out too high'
        )
    if two := found.in_one_class:
        say_early(
            f'{len(two)} picture{"s" * (len(two) > 1)} twice{" in one class" * (not whole)}: '
            f'{_pairs(two)}. One of them may be held out while the other is trained on'
        )


def _pairs(repeated: Sequence[Sequence['Picture']]) -> str:
    return some_of([' and '.join(str(picture.path) for picture in same[:3]) for same in repeated])
