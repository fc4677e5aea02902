"""Reads a COCO dictionary as annotation tools write it: mends what can be understood.

What is right stays as it is, value for value, so that a good file trains and measures as it does in
mmdet and pycocotools. What cannot be understood is refused, with the entry that it stands in.
"""

import math
import os
from array import array
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..files.read import shorten
from .coco_notes import Notes
from .coco_pictures import Folder, picture_size, same_name

# Inclusive coordinates and rounding reach this far outside; COCO's own boxes do.
MARGIN = 1.0  # pixels
SIZES_CHECKED = 1000  # pictures whose size is compared with the file's; all if one differs
# Of pixels that are no object: LabelMe, CVAT and mask tools list them among the classes.
NO_CLASSES = frozenset(('background', '_background_', '__background__', '__ignore__'))
_BITS = 2**63  # numpy, by which pycocotools sorts ids, has no larger integers


def mend_coco(content: Any, notes: Notes, folder: Folder | None = None) -> dict:
    """Mend the content of an annotation file, in place.

    Afterwards:

    * ids are whole numbers, of images and annotations unique, of annotations not 0;
    * each image has a ``file_name``; with a folder it is that of a picture that is there, and
      ``width`` and ``height`` are its own, upright;
    * each annotation is of an image and a category of the file, and has a ``bbox`` of four numbers
      with some of it inside the image, an ``area`` above 0, and ``iscrowd``;
    * names of categories are unique, without blanks around them.

    Args:
        content: Of the JSON file.
        notes (Notes): What is mended is added.
        folder (Folder, optional): Of the pictures. None where they cannot be looked at.

    Returns:
        dict: ``images``, ``annotations`` and ``categories``; the other entries as they are.

    Raises:
        ValueError: With the entry that cannot be understood; with examples of pictures that are not
            there.
    """
    _check_kind(content)
    totals = {key: len(content[key]) for key in ('images', 'annotations', 'categories')}
    notes.totals.update(totals)
    categories, category_ids = _mend_categories(
        content['categories'], content['annotations'], notes
    )
    images, image_ids, stated = _mend_images(content['images'], notes, folder)
    sizes = {image['id']: _size_of(image) for image in images}
    annotations = content['annotations']
    _check_corners(annotations, image_ids, sizes)
    boxes = _Boxes(sizes, stated, notes, are_shares=_are_shares(annotations))
    annotations = _mend_annotations(annotations, image_ids, category_ids, boxes, notes)
    boxes.check_stated()
    return {**content, 'images': images, 'annotations': annotations, 'categories': categories}


def group_names(categories: Sequence[dict], annotations: Sequence[dict]) -> set[str]:
    """Names of categories without a box that are no classes.

    One that only holds others together, as Roboflow's first one does: it is the ``supercategory``
    of all others. And what mask tools list for pixels of no object, as LabelMe's ``_background_``.
    """
    if len(categories) < 2:
        return set()
    supers = {str(category.get('supercategory')) for category in categories}
    names = {
        c['name'] for c in categories
        if c['name'] in supers
        and all(o is c or o.get('supercategory') == c['name'] for o in categories)
        or c['name'].lower() in NO_CLASSES
    }  # fmt: skip
    if not names:
        return set()
    used = {annotation['category_id'] for annotation in annotations}
    return {c['name'] for c in categories if c['name'] in names and c['id'] not in used}


# ---- the whole -----------------------------------------------------------------------------------


def _check_kind(content: Any) -> None:
    """Refuse what is another kind of file, and say which."""
    if isinstance(content, list):
        first = content[0] if content and isinstance(content[0], dict) else {}
        if 'score' in first and 'image_id' in first:
            raise ValueError('it holds results of a detector, a list of boxes with scores')
        raise ValueError('its top level is a list, not {"images": ..., "annotations": ...}')
    if not isinstance(content, dict):
        raise ValueError(f'its top level is {_show(content)}, not {{"images": ...}}')
    content.setdefault('annotations', [])  # of a test set
    if content['annotations'] is None:
        content['annotations'] = []
    for key in ('images', 'annotations', 'categories'):
        if not isinstance(content.get(key), list):
            found = f'"{key}" is {_show(content[key])}' if key in content else f'it has no "{key}"'
            known = ', '.join(f'"{shorten(name, 30)}"' for name in list(content)[:5])
            raise ValueError(
                f'{found}, not a list' + ('' if key in content else f'; it has {known}')
            )
    if content['annotations'] and isinstance(content['annotations'][0], dict):
        first = content['annotations'][0]
        if 'segments_info' in first:
            raise ValueError('it is of panoptic segmentation: its annotations have no boxes')
        if 'caption' in first and 'category_id' not in first:
            raise ValueError('it holds captions: its annotations have no boxes')


def _show(value: Any) -> str:
    return shorten(repr(value), 60)


def _whole(value: Any) -> int | None:
    """A whole number that numpy holds, also where it is written as text or with a point."""
    if type(value) is str:
        try:
            value = int(value) if value.strip().lstrip('+-').isascii() else None
        except ValueError:
            return None
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and -_BITS <= value < _BITS else None


def _number(value: Any) -> float | None:
    """A finite number, also where it is written as text."""
    if type(value) is str:
        try:
            value = float(value)
        except ValueError:
            return None
    if type(value) not in (int, float):
        return None
    return value if abs(value) < 1e15 else None  # NaN is not less


# ---- categories ----------------------------------------------------------------------------------


def _mend_categories(
    categories: list, annotations: list, notes: Notes
) -> tuple[list[dict], dict[Any, int]]:
    """The categories, and the id of each by the one that the file gives it."""
    if not categories:
        raise ValueError('"categories" is empty: nothing says what its boxes are')
    mended: dict[str, dict] = {}  # by name
    ids: dict[Any, str] = {}
    for i, category in enumerate(categories):
        where = f'"categories", entry {i}'
        if not isinstance(category, dict) or 'id' not in category or 'name' not in category:
            raise ValueError(f'{where}: {_show(category)} is no {{"id": ..., "name": ...}}')
        given, name = category['id'], category['name']
        if type(name) in (int, float):
            name = str(name)
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f'{where}: the name is {_show(name)}')
        name = name.strip()
        if name != category['name']:
            notes.add('category_name', _show(category['name']))
        if not isinstance(given, (int, float, str)):
            raise ValueError(f'{where}, {name!r}: the id is {_show(given)}')
        if ids.get(given, name) != name:
            raise ValueError(
                f'the id {given!r} stands for two categories, {ids[given]!r} and {name!r}'
            )
        ids[given] = name
        if name in mended:
            notes.add('category_twice', name)
        else:
            mended[name] = dict(category, name=name)
    _check_case(mended, ids, annotations, notes)
    ids = {given: name for given, name in ids.items() if name in mended}
    numbers = [_whole(category['id']) for category in mended.values()]
    is_new = None in numbers or len(set(numbers)) < len(numbers)
    for number, (category, whole) in enumerate(zip(mended.values(), numbers), 1):
        if is_new:
            notes.add('category_id', _show(category['id']))
        elif type(category['id']) is str:
            notes.add('text', f'category id {category["id"]!r}')
        category['id'] = number if is_new else whole
    return list(mended.values()), {given: mended[name]['id'] for given, name in ids.items()}


def _check_case(mended: dict[str, dict], ids: dict, annotations: list, notes: Notes) -> None:
    """Of names that differ in case alone, one may have boxes.

    Raises:
        ValueError: If several have.
    """
    alike: dict[str, list[str]] = {}
    for name in mended:
        alike.setdefault(name.casefold(), []).append(name)
    clashes = [names for names in alike.values() if len(names) > 1]
    if not clashes:
        return
    used = Counter(str(a.get('category_id')) for a in annotations if isinstance(a, dict))
    counts = Counter()
    for given, name in ids.items():
        counts[name] += used[str(given)]
    for names in clashes:
        if sum(counts[name] > 0 for name in names) > 1:
            shown = ', '.join(f'{name!r} ({counts[name]} boxes)' for name in names)
            raise ValueError(
                f'its categories {shown} differ in case alone. Give them one name, or names that '
                'are not alike'
            )
        kept = max(names, key=lambda name: counts[name])
        for name in names:
            if name != kept:
                notes.add('category_case', name)
                del mended[name]


# ---- images --------------------------------------------------------------------------------------


def _mend_images(
    images: list, notes: Notes, folder: Folder | None
) -> tuple[list[dict], dict[Any, int], dict[int, tuple[int, int]]]:
    """The images, the id of each by the one that the file gives it, and sizes that were wrong.

    An image without a size whose picture cannot be read is left out, and has the id -1.
    """
    by_id: dict[Any, dict] = {}
    for i, image in enumerate(images):
        if not isinstance(image, dict):
            raise ValueError(f'"images", entry {i} is {_show(image)}, no image')
        name = _file_name(image)
        given = image.get('id')
        if name is None:
            raise ValueError(f'"images", entry {i} (id {_show(given)}) has no file_name')
        if type(given) not in (int, float, str):
            raise ValueError(f'"images", entry {i}, {_show(name)}: the id is {_show(given)}')
        image['file_name'] = name
        if (first := by_id.setdefault(given, image)) is not image:
            if not same_name(first['file_name'], name):
                raise ValueError(
                    f'the image id {given!r} stands for two images, {_show(first["file_name"])} '
                    f'and {_show(name)}: their boxes cannot be told apart. Give each its own id'
                )
            notes.add('image_twice', f'{name!r}')
    images = list(by_id.values())
    if folder is not None:
        _find_pictures(images, notes, folder)
    ids = _number_images(by_id, notes)
    images = _join_same(images, ids, notes)
    stated = _mend_sizes(images, notes, folder)
    lost = {image['id'] for image in images if folder is not None and _size_of(image) is None}
    if lost:
        images = [image for image in images if image['id'] not in lost]
        ids = {given: -1 if number in lost else number for given, number in ids.items()}
    return images, ids, stated


def _file_name(image: dict) -> str | None:
    names = (image.get(key) for key in ('file_name', 'filename', 'coco_url', 'path', 'name'))
    return next((name for name in names if isinstance(name, str) and name.strip()), None)


def _size_of(image: dict) -> tuple[int, int] | None:
    size = image.get('width'), image.get('height')
    return size if all(type(side) is int and side > 0 for side in size) else None


def _number_images(by_id: dict[Any, dict], notes: Notes) -> dict[Any, int]:
    numbers = [_whole(given) for given in by_id]
    is_new = None in numbers or len(set(numbers)) < len(numbers)
    for number, (given, whole) in enumerate(zip(by_id, numbers), 1):
        if is_new:
            notes.add('image_id', _show(given))
        elif type(given) is str:
            notes.add('text', f'image id {given!r}')
        by_id[given]['id'] = number if is_new else whole
    return {given: image['id'] for given, image in by_id.items()}


def _join_same(images: list[dict], ids: dict[Any, int], notes: Notes) -> list[dict]:
    """One entry for each picture; boxes of a second entry go to the first."""
    by_name: dict[str, dict] = {}
    joined = {}
    for image in images:
        first = by_name.setdefault(os.path.normpath(image['file_name']), image)
        if first is not image:
            joined[image['id']] = first['id']
            notes.add('image_twice', repr(image['file_name']))
    if joined:
        for given, number in ids.items():
            ids[given] = joined.get(number, number)
    return list(by_name.values())


def _find_pictures(images: list[dict], notes: Notes, folder: Folder) -> None:
    missing, vague = [], []
    taken: dict[str, str] = {}  # by the picture: what the file calls it
    lost = []
    for image in images:
        if folder.has(image['file_name']):
            taken[os.path.normpath(image['file_name'])] = image['file_name']
        else:
            lost.append(image)
    for image in lost:
        name = image['file_name']
        try:
            found = folder.find(name)
        except ValueError as error:
            vague.append(f'{_show(name)} may be {error}')
            continue
        if found is None:
            missing.append(name)
            continue
        other = taken.setdefault(os.path.normpath(found), name)
        if not same_name(other, name):
            vague.append(f'{found} may be {_show(other)} or {_show(name)}')
            continue
        notes.add('file_name', f'{_show(name)} is {found}')
        image['file_name'] = found
    if vague:
        raise ValueError(
            f'{len(vague)} of its {len(images)} file names fit several pictures, or several fit '
            f'one: {"; ".join(vague[:3])}. Write the paths below {folder.path} into it'
        )
    if missing:
        names = ', '.join(map(_show, missing[:3]))
        there = ', '.join(folder.some()) or 'no picture'
        raise ValueError(
            f'{len(missing)} of its {len(images)} pictures are not below {folder.path}: {names}. '
            f'There: {there}. Name their folder with data_prefix.img, or take their entries out'
        )


def _mend_sizes(
    images: list[dict], notes: Notes, folder: Folder | None
) -> dict[int, tuple[int, int]]:
    """Sizes that the file states and the pictures do not have, by the image's id."""
    stated: dict[int, tuple[int, int]] = {}
    if folder is None:
        return stated  # what needs no size needs no picture either

    def look(image: dict) -> None:
        size = picture_size(os.path.join(folder.path, image['file_name']))
        known = _size_of(image)
        if known is None:
            image.pop('width', None), image.pop('height', None)
            notes.add('unreadable' if size is None else 'size_missing', _show(image['file_name']))
        elif size is not None and size != known:
            stated[image['id']] = known
            example = f'{image["file_name"]} is {size[0]} x {size[1]}, not {known[0]} x {known[1]}'
            notes.add('size_wrong', example)
        if size is not None:
            image['width'], image['height'] = size

    sized = []
    for image in images:
        sides = [_whole(image.get(key)) for key in ('width', 'height')]
        if None in sides or min(sides) <= 0:
            look(image)
            continue
        if str in (type(image['width']), type(image['height'])):
            notes.add('text', f'size of {_show(image["file_name"])}')
        image['width'], image['height'] = sides
        sized.append(image)
    step = -(-len(sized) // SIZES_CHECKED) or 1
    for image in sized[::step]:
        look(image)
    if stated and step > 1:
        for i, image in enumerate(sized):
            if i % step:
                look(image)
    return stated


# ---- annotations ---------------------------------------------------------------------------------


def _mend_annotations(
    annotations: list, image_ids: dict, category_ids: dict, boxes: '_Boxes', notes: Notes
) -> list[dict]:
    kept, ids, prints, num_crowds = [], array('q'), array('q'), 0
    are_good_ids = True
    is_number = (int, float)
    for i, annotation in enumerate(annotations):
        if type(annotation) is not dict:
            raise ValueError(f'"annotations", entry {i} is {_show(annotation)}, no annotation')
        image_id = _known(annotation, 'image_id', image_ids, i, notes)
        if image_id is None:
            continue
        category_id = _known(annotation, 'category_id', category_ids, i, notes)
        annotation['image_id'], annotation['category_id'] = image_id, category_id
        box = boxes.mend(annotation, i)
        if box is None:
            continue
        annotation['bbox'] = box
        area = annotation.get('area')
        if not (type(area) in is_number and 0 < area < math.inf):
            area = _number(area) if type(area) is str else None
            if area is not None and area > 0:
                notes.add('text', f'area of {_name(annotation, i)}')
            else:
                notes.add('area', _name(annotation, i))
                area = _segmentation_area(annotation.get('segmentation')) or box[2] * box[3]
            annotation['area'] = area
        crowd = annotation.get('iscrowd')
        if crowd != 0 or type(crowd) is not int:
            if crowd is None:
                notes.add('crowd', _name(annotation, i))
                crowd = 0
            flag = {'true': 1, 'false': 0}.get(str(crowd).lower(), _whole(crowd))
            if flag not in (0, 1):
                raise ValueError(f'{_name(annotation, i)}: iscrowd is {_show(crowd)}, not 0 or 1')
            annotation['iscrowd'] = flag
            num_crowds += flag
        number = annotation.get('id')
        if type(number) is int and number != 0 and -_BITS <= number < _BITS:
            ids.append(number)
        else:
            are_good_ids = False
        prints.append(hash((image_id, category_id, *box)))
        kept.append(annotation)
    if num_crowds == len(kept) >= 10:
        # Some tools write so of every mask; no set is made of crowds alone.
        for annotation in kept:
            annotation['iscrowd'] = 0
        notes.add('all_crowd', count=num_crowds)
    twice = _twice(kept, prints, notes)
    if twice:
        kept = [a for i, a in enumerate(kept) if i not in twice]
        ids = array('q', (a['id'] for a in kept)) if are_good_ids else ids
    if not are_good_ids or len(np.unique(np.frombuffer(ids, np.int64))) < len(ids):
        _number_anew(kept, notes)
    return kept


def _known(annotation: dict, key: str, ids: dict, entry: int, notes: Notes) -> int | None:
    """The id of what an annotation is of; None for an image that is not there."""
    given = annotation.get(key)
    try:
        found = ids.get(given)
        if found is None and type(given) is str:
            found = ids.get(_whole(given))
            if found is not None:
                notes.add('text', f'{key} of {_name(annotation, entry)}')
        elif found is None and type(given) is int:
            found = ids.get(str(given))
    except TypeError:  # a list or a dictionary
        found = None
    if found is None and key == 'image_id':
        notes.add('orphan', f'{_name(annotation, entry)} has image_id {_show(given)}')
    elif found is None:
        known = ', '.join(map(str, list(ids)[:8])) + (', ...' if len(ids) > 8 else '')
        raise ValueError(
            f'{_name(annotation, entry)} has category_id={_show(given)}, not one of its '
            f'categories ({known}). Correct the annotation or remove it'
        )
    return None if found == -1 and key == 'image_id' and given != -1 else found


def _name(annotation: dict, entry: int) -> str:
    number = annotation.get('id')
    return (
        f'annotation {_show(number)}' if type(number) in (int, str) else f'annotation no. {entry}'
    )


def _twice(kept: list[dict], prints: array, notes: Notes) -> set[int]:
    """Places of annotations that equal an earlier one in all but their ids."""
    values = np.frombuffer(prints, np.int64)
    order = np.argsort(values, kind='stable')
    same = np.flatnonzero(values[order][1:] == values[order][:-1])
    candidates = np.union1d(order[same], order[same + 1])
    found, seen = set(), {}
    for i in candidates.tolist():
        rest = {key: value for key, value in kept[i].items() if key != 'id'}
        before = seen.setdefault(prints[i], [])
        if rest in before:
            found.add(i)
            notes.add('twice', _name(kept[i], i))
        else:
            before.append(rest)
    return found


def _number_anew(annotations: list[dict], notes: Notes) -> None:
    # pycocotools takes what is matched to id 0 for unmatched, and of equal ids keeps the last.
    counts = Counter(str(annotation.get('id')) for annotation in annotations)
    for number, annotation in enumerate(annotations, 1):
        given = annotation.get('id')
        if type(given) is not int or given == 0 or counts[str(given)] > 1:
            notes.add('annotation_id', _show(given))
        annotation['id'] = number


# ---- boxes ---------------------------------------------------------------------------------------


class _Boxes:
    """Mends boxes.

    Args:
        sizes (dict): (width, height) by the image's id, or None where it is not known.
        stated (dict): Those of the file, where the pictures have others.
        are_shares (bool): Whether all boxes are in shares of the image.
    """

    def __init__(self, sizes: dict, stated: dict, notes: Notes, are_shares: bool):
        self.sizes, self.stated, self.notes, self.are_shares = sizes, stated, notes, are_shares
        self.num_stated = self.num_beyond = 0
        self.first_beyond = ''

    def mend(self, annotation: dict, entry: int) -> list | None:
        """[x, y, width, height]; None where there is no box to speak of.

        Raises:
            ValueError: If it cannot be understood.
        """
        box = annotation.get('bbox')
        size = self.sizes.get(annotation['image_id'])
        if type(box) is list and len(box) == 4 and size and not self.are_shares and not self.stated:
            # What nearly all boxes are, in few steps.
            x, y, w, h = box
            kinds = {type(x), type(y), type(w), type(h)}
            if kinds <= {int, float} and w >= 1 and h >= 1:
                inside = x >= -MARGIN and y >= -MARGIN
                if inside and x + w <= size[0] + MARGIN and y + h <= size[1] + MARGIN:
                    return box
        return self._mend(annotation, entry, box, size)

    def _mend(self, annotation: dict, entry: int, box: Any, size: tuple | None) -> list | None:
        where, notes = _name(annotation, entry), self.notes
        if box is None or box == []:
            box = _segmentation_box(annotation.get('segmentation'))
            notes.add('nowhere' if box is None else 'box_missing', where)
            if box is None:
                return None
        box = self._numbers(box, where, annotation)
        if self.are_shares:
            if size is None:
                raise ValueError(f'{where}: its box is in shares of an image of unknown size')
            box = [box[0] * size[0], box[1] * size[1], box[2] * size[0], box[3] * size[1]]
            annotation['area'] = box[2] * box[3]
            notes.add('fractions', where)
        x, y, w, h = box
        if w < 0 or h < 0:
            notes.add('turned', f'{where}: {_show(box)}')
            x, y, w, h = min(x, x + w), min(y, y + h), abs(w), abs(h)
            box = [x, y, w, h]
        if w == 0 or h == 0:
            other = _segmentation_box(annotation.get('segmentation'))
            if other is None or not (other[2] > 0 and other[3] > 0):
                notes.add('empty', where)
                return None
            notes.add('box_missing', where)
            x, y, w, h = box = other
        if size is not None:
            box = self._clip(annotation, where, box, size)
            if box is None:
                return None
        if box[2] < 1 or box[3] < 1:
            notes.add('thin', where)
        return box

    def _numbers(self, box: Any, where: str, annotation: dict) -> list:
        values = box if isinstance(box, list) and len(box) == 4 else []
        numbers = list(map(_number, values))
        if not numbers or None in numbers:
            about = f' of image {annotation["image_id"]}'
            raise ValueError(
                f'{where}{about}: its bbox {_show(box)} is not four numbers, x, y, width and '
                'height in pixels. Correct the annotation or remove it'
            )
        if str in map(type, values):
            self.notes.add('text', f'bbox of {where}')
        return numbers

    def _clip(self, annotation: dict, where: str, box: list, size: tuple) -> list | None:
        x, y, w, h = box
        width, height = size
        is_beyond = x < -MARGIN or y < -MARGIN or x + w > width + MARGIN or y + h > height + MARGIN
        stated = self.stated.get(annotation['image_id'])
        if stated is not None:
            self.num_stated += 1
            fits = x + w <= stated[0] + MARGIN and y + h <= stated[1] + MARGIN
            if is_beyond and fits and x >= -MARGIN and y >= -MARGIN:
                self.num_beyond += 1
                self.first_beyond = self.first_beyond or where
        if not is_beyond:
            return box
        left, top = max(x, 0), max(y, 0)
        right, bottom = min(x + w, width), min(y + h, height)
        if right <= left or bottom <= top:
            self.notes.add('outside', f'{where}: {_show(box)}')
            return None
        self.notes.add('clipped', f'{where}: {_show(box)} in {width} x {height}')
        if not annotation.get('segmentation'):
            annotation['area'] = (right - left) * (bottom - top)
        return [left, top, right - left, bottom - top]

    def check_stated(self) -> None:
        """Refuse boxes that were drawn on pictures of another size.

        Raises:
            ValueError: If most boxes reach outside the picture, and fit into the file's size.
        """
        if self.num_beyond * 2 > self.num_stated:
            number = next(iter(self.stated))
            width, height = self.stated[number]
            found = ' x '.join(map(str, self.sizes[number]))
            raise ValueError(
                f'{len(self.stated)} pictures have another size than it says, and '
                f'{self.num_beyond} of their {self.num_stated} boxes fit into its size only '
                f'(image {number}: it says {width} x {height}, the picture '
                f'has {found}; {self.first_beyond}). The pictures were resized, or turned by EXIF, '
                'after the boxes had been drawn: use those that were labelled, or label them again'
            )


def _are_shares(annotations: list) -> bool:
    """Whether all boxes are in shares of the image, 0 to 1, rather than in pixels."""
    seen = False
    for annotation in annotations:
        box = annotation.get('bbox') if isinstance(annotation, dict) else None
        if not isinstance(box, list) or len(box) != 4:
            continue
        numbers = list(map(_number, box))
        if None in numbers:
            continue
        if max(numbers) > 1 or min(numbers) < 0:
            return False
        seen = seen or 0 < numbers[2] < 1
    return seen


def _check_corners(annotations: list, image_ids: dict, sizes: dict) -> None:
    """Refuse boxes that are corners, (x1, y1, x2, y2), in place of (x, y, width, height).

    Raises:
        ValueError: If all could be, and at least a tenth makes sense only so.
    """
    beyond, first = 0, None
    sample = annotations[:: -(-len(annotations) // 2000) or 1]
    for annotation in sample:
        try:
            width, height = sizes[image_ids[annotation['image_id']]]
            x, y, right, bottom = map(float, annotation['bbox'])
        except (KeyError, TypeError, ValueError):
            continue
        if not (x < right <= width + MARGIN and y < bottom <= height + MARGIN):
            return
        if x + right > width + MARGIN or y + bottom > height + MARGIN:
            beyond, first = beyond + 1, first or annotation
    if beyond >= 3 and beyond * 10 >= len(sample):
        raise ValueError(
            f'its boxes look like corners, [x1, y1, x2, y2] ({_name(first, 0)}: '
            f'{_show(first["bbox"])}), where COCO has [x, y, width, height]. Write them so'
        )


def _polygons(segmentation: Any) -> list[np.ndarray]:
    """The corners of polygons, (n, 2) each; those that are none are left out."""
    if not isinstance(segmentation, list) or not segmentation:
        return []
    parts = segmentation if isinstance(segmentation[0], list) else [segmentation]
    found = []
    for part in parts:
        try:
            values = np.asarray(part, dtype=float)
        except (TypeError, ValueError):
            continue
        if values.size >= 6 and values.size % 2 == 0 and np.isfinite(values).all():
            found.append(values.reshape(-1, 2))
    return found


def _mask(segmentation: dict) -> Any:
    """A run-length mask as pycocotools takes it; None if it is none.

    pycocotools does not check what it reads: a text that breaks off leads it out of its memory.
    """
    from pycocotools import mask  # here: few files need it

    size, counts = segmentation.get('size'), segmentation.get('counts')
    if not isinstance(size, list) or len(size) != 2:
        return None
    height, width = map(_whole, size)
    if not (height and width and 0 < height < 2**20 and 0 < width < 2**20):
        return None
    if isinstance(counts, list):
        if not all(type(n) is int and n >= 0 for n in counts) or sum(counts) != height * width:
            return None
        return mask.frPyObjects(dict(size=[height, width], counts=counts), height, width)
    is_text = isinstance(counts, str) and counts and all('0' <= c <= 'o' for c in counts)
    if not is_text or (ord(counts[-1]) - 48) & 32:  # the bit that says that more follows
        return None
    return dict(size=[height, width], counts=counts)


def _segmentation_box(segmentation: Any) -> list[float] | None:
    """[x, y, width, height] of polygons or a mask."""
    if isinstance(segmentation, dict):
        from pycocotools import mask

        runs = _mask(segmentation)
        return None if runs is None else [float(v) for v in mask.toBbox(runs)]
    corners = _polygons(segmentation)
    if not corners:
        return None
    corners = np.concatenate(corners)
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    return [float(v) for v in (left, top, right - left, bottom - top)]


def _segmentation_area(segmentation: Any) -> float:
    """Pixels in polygons or a mask; 0 without."""
    if isinstance(segmentation, dict):
        from pycocotools import mask

        runs = _mask(segmentation)
        return 0.0 if runs is None else float(mask.area(runs))
    total = 0.0
    for corners in _polygons(segmentation):
        (x, y), (next_x, next_y) = corners.T, np.roll(corners, -1, axis=0).T
        total += abs(float((x * next_y - next_x * y).sum())) / 2
    return total
