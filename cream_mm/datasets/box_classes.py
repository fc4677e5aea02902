"""Classes of a table of boxes, and their order."""

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from ..files import read_text, some_of
from .box_columns import table_rows
from .folder_listing import same_but_for_case

_CLASS_FILE = re.compile(r'class|label', re.I)


def read_class_names(paths: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of a file of classes: of keras-retinanet (name, number) or Open Images (code, name)."""
    for path in paths:
        if not _CLASS_FILE.search(os.path.basename(path)):
            continue
        try:
            rows = [fields for _, fields in table_rows(read_text(path), path)]
        except (OSError, ValueError):
            continue
        if rows and all(len(row) == 2 and all(row) for row in rows):
            return [(row[0], row[1]) for row in rows]
    return []


def number_classes(
    root: str, counts: Mapping[str, int], pairs: Sequence[tuple[str, str]], said: list[str]
) -> tuple[list[str], dict[str, int]]:
    """Names of the classes, and the number of each text that stands for one in the tables.

    Args:
        root (str): Of the set.
        counts (Mapping): Number of boxes by the text that stands for their class.
        pairs (Sequence): Of :func:`read_class_names`.
        said (list[str]): Takes a line about what is odd.

    Raises:
        ValueError: If a class is not in the file of classes, or two differ in case alone.
    """
    if not counts:
        raise ValueError(f'{root}: no row of its tables has a box')
    if set(counts) == {''}:
        said.append(f'{root}: no column of classes: all boxes are of one class, "object"')
        return ['object'], {'': 0}
    names = {label: _without_point(label) for label in counts}
    texts = set(names.values())
    if pairs and all(number.isdigit() for _, number in pairs):  # of keras-retinanet
        order = [name for name, _ in sorted(pairs, key=lambda pair: int(pair[1]))]
        unknown = sorted(texts - set(order))
        if unknown:
            raise ValueError(
                f'{root}: its file of classes has not {some_of(unknown)}; it has {some_of(order)}'
            )
        classes = order
    elif pairs and texts <= {code for code, _ in pairs}:  # of Open Images
        called = dict(pairs)
        names = {label: called[name] for label, name in names.items()}
        classes = sorted(set(names.values()))
    elif all(text.lstrip('-').isdigit() for text in texts):
        classes = sorted(texts, key=int)
        if classes != [str(n) for n in range(len(classes))]:
            said.append(
                f'{root}: classes are the numbers {some_of(classes, 8)}: taken as names, and '
                f'numbered 0 to {len(classes) - 1}'
            )
    else:
        classes = sorted(texts)
    boxes = Counter()
    for label, name in names.items():
        boxes[name] += counts[label]
    check_case(root, boxes)
    numbers = {name: number for number, name in enumerate(classes)}
    return classes, {label: numbers[name] for label, name in names.items()}


def _without_point(label: str) -> str:
    """Tables of pandas have 1.0 for 1."""
    return re.sub(r'^(-?\d+)\.0+$', r'\1', label)


def check_case(root: str, counts: Mapping[str, int]) -> None:
    """Of classes that differ in case alone, one may have boxes.

    Args:
        root (str): Of the set.
        counts (Mapping): Number of boxes by class.

    Raises:
        ValueError: If several have.
    """
    for names in same_but_for_case(filter(counts.__getitem__, counts), str.casefold):
        shown = ', '.join(f'{name!r} ({counts[name]} boxes)' for name in names)
        raise ValueError(
            f'{root}: its classes {shown} differ in case alone. Give them one name, or names '
            'that are not alike'
        )
