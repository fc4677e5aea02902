"""Looks at the COCO-style sets that a config names: their files, classes, pictures."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mmengine.config import Config

from ..datasets.coco_file import CocoFile, is_local, left_out, number_classes, read_coco
from ..datasets.coco_layout import find_annotations, find_pictures, json_files, split_of
from ..datasets.coco_notes import first_time
from ..datasets.coco_pictures import same_pictures
from ..files import check_regular, rank_and_number, read_text
from ..files.read import shorten, some_of
from ..registry import kind_of
from .carry import DATA_KEYS, annotation_file, entries, places_below


def follow_annotations(cfg: Config) -> None:
    """Give a CocoMetric that names no annotation file that of the dataset it measures."""
    for side in ('val', 'test'):
        path = annotation_file(cfg.get(f'{side}_dataloader'))
        for metric in coco_metrics(cfg.get(f'{side}_evaluator')):
            if path and not metric.get('ann_file'):
                metric['ann_file'] = path


def fit_coco(
    cfg: Config, say: Callable[[str], None], *, is_moved: bool = False
) -> list[str] | None:
    """Look at the COCO-style sets of a config, and fit it to them.

    Every set gets the classes: those that the config names, else the categories of the training
    set. Where an annotation file is not as mmdet and pycocotools need it, the types of its data set
    and metric become those of cream_mm, which read it mended.

    Args:
        cfg (Config): Changed in place.
        say (Callable): Takes a line for the user.
        is_moved (bool): Whether the command line has named another place of the data; classes of
            the config may then be those of the data before.

    Returns:
        list[str]: The classes. None if there is no such set.

    Raises:
        FileNotFoundError: If a file or folder is missing; says what is expected where.
        ValueError: If a file cannot be understood, the sets contradict each other or the config,
            or nothing would be left to train on.
    """
    sets = coco_sets(cfg)
    if not sets:
        return None
    say_all, lines = say, set()

    def say(line: str) -> None:  # of a set that stands in several places, once
        if line not in lines:
            lines.add(line)
            say_all(line)

    places = [file_and_folder(dataset) for _, dataset in sets]
    folders = [folder for _, folder in places]
    files: dict[int, CocoFile] = {}
    for _, dataset in sets:
        _check_places(dataset, folders, say)
        path, folder = file_and_folder(dataset)
        files[id(dataset)] = read_coco(path, folder if os.path.isdir(folder) else None)
    moved = {old: file_and_folder(dataset)[0] for (old, _), (_, dataset) in zip(places, sets)}
    for side in ('val', 'test'):
        for metric in coco_metrics(cfg.get(f'{side}_evaluator')):
            metric['ann_file'] = moved.get(metric.get('ann_file'), metric.get('ann_file'))
    for line in dict.fromkeys(line for file in files.values() for line in file.notes):
        first_time(line)  # the data sets need not say it again
        say(line)
    train = next((d for place, d in sets if place == 'train_dataloader'), sets[0][1])
    classes = _classes(train, files[id(train)], is_moved, say)
    is_chosen = set(classes) != set(files[id(train)].classes)
    odd = set()
    for file in dict.fromkeys(files.values()):
        if file is not files[id(train)]:
            _check_categories(file, files[id(train)], classes, is_chosen, say)
        if is_chosen and (line := left_out(file, classes)):
            first_time(line)
            say(line)
        if file.notes or [n for n in file.names if n in set(classes)] != classes:
            odd.add(os.path.realpath(file.path))
    for place, dataset in sets:
        dataset['metainfo'] = dict(dataset.get('metainfo') or {}, classes=tuple(classes))
        path = files[id(dataset)].path
        if os.path.realpath(path) in odd and not _take_ours(dataset):
            say(
                f'{path} is read by {_full_name(dataset)}, as it stands: cream_mm.CocoDataset '
                'would read it mended, with labels by name'
            )
        if place == 'train_dataloader':
            below = places_below(cfg[place], place)
            where = next((at for at, value in below if value is dataset), place)
            _check_training(dataset, where, files[id(dataset)], classes, say)
    for side in ('val', 'test'):
        for metric in coco_metrics(cfg.get(f'{side}_evaluator')):
            path = metric.get('ann_file')
            if path and os.path.realpath(path) in odd:
                _take_ours(metric)
    if rank_and_number()[0] == 0:  # reads many pictures, for a line that one rank says
        _compare([s for s in sets if id(s[1]) not in _held_out(cfg)], files, say)
    return classes


def lacks_files(cfg: Config) -> bool:
    """Whether a COCO-style set has neither its file nor its root, so that :func:`fit_coco` raises.

    Below a root that is there, the file may be found under another name.
    """
    for _, dataset in coco_sets(cfg):
        path, root = file_and_folder(dataset)[0], dataset.get('data_root') or '.'
        if '://' not in path and not os.path.exists(path) and not os.path.isdir(root):
            return True
    return False


def _take_ours(component: dict) -> bool:
    """Have cream_mm read what mmdet would read otherwise; whether it does. A user's class stays."""
    name = _full_name(component)
    if '.' not in name or name.startswith('mmdet.'):
        component['type'] = f'cream_mm.{kind_of(component)}'
        return True
    return name.startswith('cream_mm.')


def _full_name(component: Mapping) -> str:
    kind = component['type']
    return f'{kind.__module__}.{kind.__name__}' if isinstance(kind, type) else str(kind)


def coco_sets(cfg: Config) -> list[tuple[str, dict]]:
    """Every COCO-style set that a run will build, and the part of the config that names it.

    Those of another machine are not looked at.
    """
    found = []
    for place in DATA_KEYS:
        for holder, key in entries({place: cfg.get(place)}):
            value = holder[key]
            if not (isinstance(value, dict) and kind_of(value) == 'CocoDataset'):
                continue
            is_known = any(value is other for _, other in found)
            if value.get('ann_file') and is_local(value.get('backend_args')) and not is_known:
                found.append((place, value))
    return found


def coco_metrics(evaluator: Any) -> list[dict]:
    several = evaluator if isinstance(evaluator, (list, tuple)) else [evaluator]
    return [m for m in several if isinstance(m, dict) and kind_of(m) == 'CocoMetric']


def file_and_folder(dataset: Mapping) -> tuple[str, str]:
    """The annotation file, and the folder of the pictures."""
    root = dataset.get('data_root') or ''
    prefix = dataset.get('data_prefix') or {}
    return (
        os.path.join(root, dataset['ann_file']),
        os.path.join(root, prefix.get('img', prefix.get('img_path', ''))) or '.',
    )


# ---- where files are -----------------------------------------------------------------------------


def _check_places(dataset: dict, folders: Sequence[str], say: Callable[[str], None]) -> None:
    """The file and the folder are there, or found: that by its split, this by its pictures.

    Raises:
        FileNotFoundError: If one is not.
    """
    path, folder = file_and_folder(dataset)
    root = dataset.get('data_root') or ''
    if '://' in path or '://' in folder:
        return
    split = split_of(dataset['ann_file']) if root.strip('./') else ()
    if split and not os.path.exists(path) and (found := find_annotations(root, split)):
        say(f'no {path}: {os.path.join(root, found)} is taken for it')
        dataset['ann_file'] = found
        path, _ = file_and_folder(dataset)
    if os.path.exists(path):
        check_regular(path)
        if os.path.isdir(folder):
            return
        content = read_coco(path).content
        names = [image['file_name'] for image in content['images']]
        found = None
        if root.strip('./'):
            found = find_pictures(names, root, dataset['ann_file'], split, folders)
        if found is not None:
            say(f'no folder {folder}: the pictures of {path} are in {found}')
            prefix = dict(dataset.get('data_prefix') or {}, img=os.path.relpath(found, root))
            dataset['data_prefix'] = prefix
            return
    what = f'annotation file {path}' if os.path.isdir(folder) else f'image folder {folder}'
    root = root.rstrip('/') or '.'
    raise FileNotFoundError(
        f'no {what}. A COCO-style set is expected like this:\n'
        f'  {root}/annotations/instances_train2017.json\n'
        f'  {root}/annotations/instances_val2017.json\n'
        f'  {root}/train2017/*.jpg\n'
        f'  {root}/val2017/*.jpg\n'
        'A folder of PASCAL VOC, YOLO or a CSV of boxes is read as it is; where it is not '
        'recognised, data_kind=voc (yolo, box_csv) says which it is\n'
        'Name another place with: --cfg-options data_root=FOLDER\n'
        'and other names below it with: train_dataloader.dataset.ann_file=FILE '
        'train_dataloader.dataset.data_prefix.img=FOLDER/ (val_dataloader likewise)'
        f'{_what_is_there(root)}'
    )


def _what_is_there(root: str) -> str:
    """Files of JSON that might be meant."""
    names = ', '.join(map(shorten, json_files(root)[:6]))
    return f'\nThere are: {names}' if names else ''


# ---- classes -------------------------------------------------------------------------------------


def _classes(train: dict, file: CocoFile, is_moved: bool, say: Callable[[str], None]) -> list[str]:
    """The classes that the config names, else those of the training set.

    Raises:
        ValueError: If the config names some that the file has not, and has not some that it has.
    """
    given = _given(train, file, say)
    if given is None:
        return file.classes
    twice = sorted({name for name in given if given.count(name) > 1})
    if twice:
        raise ValueError(f'metainfo.classes has {twice[0]!r} twice')
    unknown = [name for name in given if name not in file.names]
    others = [name for name in file.classes if name not in given and file.counts[name]]
    if unknown and others and is_moved:
        say(
            f'classes: {file.path} has {_some(others)} and not {_some(unknown)}: they are taken '
            'from it'
        )
        return file.classes
    if unknown and others:
        raise ValueError(
            f'the config names the classes {_some(unknown)}, which {file.path} has not; it has '
            f'{_some(others)}, which the config has not. Give train_dataloader.dataset.metainfo.'
            'classes its names, or leave metainfo out, and they are taken from it'
        )
    in_file = [name for name in file.names if name in given]
    if in_file != [name for name in given if name in in_file]:
        say(f'{file.path} lists the classes in another order than the config; labels go by name')
    if unknown:
        say(f'{file.path}: no category for the classes {_some(unknown)}, which are never seen')
    return given


def _given(train: Mapping, file: CocoFile, say: Callable[[str], None]) -> list[str] | None:
    classes = (train.get('metainfo') or {}).get('classes')
    if not classes:
        return None
    if not isinstance(classes, str):
        return [str(name).strip() for name in classes]
    if os.path.isfile(classes):  # of names, one a line: mmengine reads such files
        return [line.strip() for line in read_text(classes).splitlines() if line.strip()]
    names = [classes.strip()]
    if names[0] not in file.names:
        parts = [part.strip() for part in classes.split(',')]
        names = parts if all(part in file.names for part in parts) else names
    say(f'classes={classes!r} is text: read as {", ".join(map(repr, names))}')
    return names


def _check_categories(
    file: CocoFile,
    train: CocoFile,
    classes: Sequence[str],
    is_chosen: bool,
    say: Callable[[str], None],
) -> None:
    """Another split has no boxes of classes that the training does not know.

    Raises:
        ValueError: If it has.
    """
    extra = [name for name in file.classes if name not in set(classes)]
    used = [name for name in extra if file.counts[name]]
    if used and not is_chosen:
        counts = ', '.join(f'{name!r} ({file.counts[name]} boxes)' for name in used[:5])
        raise ValueError(
            f'{file.path} has categories that {train.path} has not: {counts}; that has '
            f'{_some(classes)}. Write them alike in both, or name the classes in '
            'train_dataloader.dataset.metainfo.classes, and boxes of others are left out'
        )
    lacking = [name for name in classes if name not in set(file.names)]
    shared = [name for name in file.names if name in set(classes)]
    differs = []
    if extra and not used:
        differs.append(f'lists {_some(extra)}, too, without a box')
    if lacking:
        differs.append(f'does not list {_some(lacking)}')
    if shared != [name for name in classes if name in set(shared)]:
        differs.append('lists them in another order')
    if differs:
        say(f'categories of {file.path}: it {", ".join(differs)}; labels go by name')


def _some(names: Sequence[str]) -> str:
    return some_of([repr(shorten(name, 40)) for name in names])


# ---- what is trained on --------------------------------------------------------------------------


def _check_training(
    dataset: Mapping,
    where: str,
    file: CocoFile,
    classes: Sequence[str],
    say: Callable[[str], None],
) -> None:
    """Something is left after the filters of a training set, and what is not is counted.

    Args:
        dataset (dict): Of the config.
        where (str): Its dotted place in the config.
        file (CocoFile): Its annotations.
        classes (Sequence[str]): That are trained on.
        say (Callable): Takes a line for the user.

    Raises:
        ValueError: If nothing is.
    """
    images, ids = file.content['images'], set(number_classes(file.ids, classes))
    settings = dataset.get('filter_cfg') or {}
    least = settings.get('min_size', 0)
    with_boxes = {
        a['image_id']
        for a in file.content['annotations']
        if a['category_id'] in ids and not a.get('ignore') and min(a['bbox'][2:]) >= 1
    }
    small = [
        i for i in images if min(i.get('width', least), i.get('height', least)) < least
    ]  # fmt: skip
    too_small = {image['id'] for image in small}
    if not with_boxes:
        raise ValueError(
            f'{file.path} has no box of a class to train on: {len(images)} images and '
            f'{sum(file.counts.values())} boxes, of {_some(list(file.counts)) or "no category"}'
        )
    if not with_boxes - too_small:
        largest = max(min(i['width'], i['height']) for i in small)
        raise ValueError(
            f'every image of {file.path} that has a box is smaller than '
            f'filter_cfg.min_size={least} pixels (the largest has {largest}), and would be left '
            f'out of the training: set {where}.filter_cfg.min_size=1'
        )
    if small:
        say(
            f'{file.path}: smaller than filter_cfg.min_size={least} pixels: {len(small)} of '
            f'{len(images)} images, not trained on ({_pictures(small)})'
        )
    empty = [i for i in images if i['id'] not in with_boxes | too_small]
    if empty and settings.get('filter_empty_gt'):
        say(
            f'{file.path}: without a box: {len(empty)} of {len(images)} images, not trained on '
            f'({_pictures(empty)}); {where}.filter_cfg.filter_empty_gt=False trains them as '
            'background'
        )


def _pictures(images: Sequence[Mapping]) -> str:
    """The first names of some images of a COCO file."""
    names = ', '.join(shorten(image['file_name']) for image in images[:3])
    return names + (', ...' if len(images) > 3 else '')


def _held_out(cfg: Config) -> set[int]:
    """Sets to validate on of which :class:`DatasetPart` takes what is not trained on."""
    found = (holder[key] for holder, key in entries({'': cfg.get('val_dataloader')}))
    parts = [value for value in found if isinstance(value, dict) and value.get('dataset')]
    return {id(p['dataset']) for p in parts if kind_of(p) == 'DatasetPart'}


def _compare(
    sets: Sequence[tuple[str, Mapping]], files: Mapping[int, CocoFile], say: Callable[[str], None]
) -> None:
    """Say which pictures are both trained and validated on."""

    def pictures(place: str) -> dict[str, list[str]]:
        found = {}
        for name, dataset in sets:
            path, folder = file_and_folder(dataset)
            if name == place and '://' not in folder:
                images = files[id(dataset)].content['images']
                found[path] = [
                    os.path.normpath(os.path.join(folder, i['file_name'])) for i in images
                ]
        return found

    train = pictures('train_dataloader')
    others = [path for paths in train.values() for path in paths]
    for file, paths in pictures('val_dataloader').items():
        same, looked_at = same_pictures(paths, others)
        if same:
            shown = ', '.join(a if a == b else f'{a} is {b}' for a, b in same[:3])
            say(
                f'{file}: {len(same)} of {looked_at} pictures are in the training set, too: what '
                f'is measured on them says little ({shown}{", ..." if len(same) > 3 else ""})'
            )
