"""Values that several commands take: folders of data, budgets, times."""

import argparse
import os
import re

BOXES = ('coco', 'voc', 'yolo', 'box_csv')
CLASSES = ('class_folders', 'packed', 'label_table')
_MILLIONS = {'k': 1e-3, 'm': 1.0, 'g': 1e3}
_NUMBER = r'(?:\d+(?:\.\d*)?|\.\d+)'


def macs_range(text: str) -> list[float]:
    """Multiply-adds as a budget of millions: ``150M`` is ``[0, 150]``, ``40M-0.1G`` ``[40, 100]``.

    >>> macs_range('150M'), macs_range('40-80M')
    ([0.0, 150.0], [40.0, 80.0])
    """
    match = re.fullmatch(rf'({_NUMBER})([KMG]?)-({_NUMBER})([KMG])|({_NUMBER})([KMG])', text, re.I)
    if not match:
        raise argparse.ArgumentTypeError(
            f'a budget is multiply-adds of one image with their unit, such as 150M, 0.3G or a '
            f'range, 40M-80M; got {text}'
        )
    low, low_unit, high, high_unit, only, unit = match.groups()
    bounds = [0.0, _millions(only, unit)] if only else [
        _millions(low, low_unit or high_unit), _millions(high, high_unit)
    ]  # fmt: skip
    if not bounds[0] < bounds[1]:
        raise argparse.ArgumentTypeError(f'a budget of {text} has nothing within it')
    return bounds


def _millions(number: str, unit: str) -> float:
    return float(number) * _MILLIONS[unit.lower()]


def milliseconds(text: str) -> float:
    """A time of one image: ``5ms``, ``0.8 ms``, ``0.02s``.

    >>> milliseconds('5ms'), milliseconds('0.02s')
    (5.0, 20.0)
    """
    match = re.fullmatch(rf'({_NUMBER})\s*(ms|s)', text.strip(), re.I)
    if not match or not float(match[1]):
        raise argparse.ArgumentTypeError(
            f'a latency is a time with its unit, such as 5ms or 0.02s; got {text}'
        )
    return float(match[1]) * (1e3 if match[2].lower() == 's' else 1.0)


def minutes(text: str) -> float:
    """A positive number of minutes."""
    if not re.fullmatch(_NUMBER, text) or not float(text):
        raise argparse.ArgumentTypeError(f'minutes are a number above 0, such as 60; got {text}')
    return float(text)


def kind_of_data(folder: str) -> str:
    """``'classes'`` or ``'boxes'``: what a folder of images is labelled with.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If there are no labels that anything here reads.
    """
    if os.path.isfile(folder):
        raise ValueError(f'--data {folder} is a file: give the folder that it lies in')
    if not os.path.isdir(folder):
        raise FileNotFoundError(f'--data {folder}: no such folder')
    from cream_mm.datasets.set_kind import find_kind

    found = find_kind(folder)
    if found is not None and found.name in BOXES:
        return 'boxes'
    if found is not None and found.name in CLASSES:
        return 'classes'
    what = 'images without labels' if found is not None else 'no images with labels'
    raise ValueError(
        f'--data {folder}: {what}. To classify, put them into folders named by class, '
        f'{os.path.join(folder, "CLASS", "NAME.jpg")}, or a table labels.csv beside them; to '
        'detect, give COCO, PASCAL VOC, YOLO or a CSV of boxes (docs/data.md)'
    )


def boxes_in(folder: str) -> str:
    """The folder, if it is labelled with boxes.

    Raises:
        FileNotFoundError, ValueError: As :func:`kind_of_data`; or if its labels are classes.
    """
    if kind_of_data(folder) != 'boxes':
        raise ValueError(
            f'--data {folder} is labelled with classes, and a detector learns from boxes: give '
            'COCO, PASCAL VOC, YOLO or a CSV of boxes (docs/data.md)'
        )
    return folder
