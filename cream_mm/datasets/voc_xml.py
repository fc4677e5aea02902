"""Reads one annotation file in the form of PASCAL VOC, as tools write it."""

import math
import os
import re
from typing import NamedTuple
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from ..files.read import shorten
from ..files.regular import read_bytes

MAX_XML_BYTES = 32 * 2**20


class VocObject(NamedTuple):
    """One object of a file: its number there from 1, and left, top, right, bottom as written."""

    number: int
    name: str
    corners: tuple[float, float, float, float]
    is_difficult: bool
    shape: str = 'bndbox'  # what the box is of: else 'polygon' or 'robndbox'
    has_blanks: bool = False  # around its name in the file


class VocFile(NamedTuple):
    """What one XML file says of its image."""

    filename: str | None
    size: tuple[int, int] | None  # width, height; None if they are no whole numbers above 0
    objects: list[VocObject]


def read_voc_xml(path: str | os.PathLike) -> VocFile:
    """Read one XML file. Nothing in it is fetched or expanded.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is no such file, or an object of it cannot be understood; names the file
            and the object.
    """
    root = _parse(read_bytes(path, MAX_XML_BYTES), path)
    if root.tag != 'annotation':
        hint = ''
        if root.tag == 'annotations':
            hint = ' (of CVAT, one file for all images: export as PASCAL VOC, COCO or YOLO instead)'
        raise ValueError(
            f'{path}: its outermost element is <{shorten(root.tag, 40)}>, not <annotation>{hint}. '
            'Put it somewhere else'
        )
    objects = []
    for number, node in enumerate(root.iterfind('object'), 1):
        if _text(node, 'deleted') == '1':  # LabelMe
            continue
        objects.append(_object(node, number, f'{path}, object {number}'))
    size = root.find('size')
    if size is None:
        size = root.find('imagesize')  # LabelMe
    sides = [_side(size, *names) for names in (('width', 'ncols'), ('height', 'nrows'))]
    return VocFile(
        _text(root, 'filename') or None, None if None in sides else tuple(sides), objects
    )


def _parse(content: bytes, path: str | os.PathLike) -> Element:
    """The root element, names of elements in lower case."""
    if not content.strip():
        raise ValueError(f'{path}: the file is empty')
    builder, parser = TreeBuilder(), expat.ParserCreate()

    def refuse(*_) -> None:
        raise ValueError(f'{path}: it defines entities, which are not read. Remove its <!DOCTYPE>')

    parser.EntityDeclHandler = refuse
    parser.StartElementHandler = lambda name, attributes: builder.start(name.lower(), attributes)
    parser.EndElementHandler = lambda name: builder.end(name.lower())
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(_decoded(content, path), True)
    except expat.ExpatError as error:
        raise ValueError(f'{path}: not well-formed XML ({error})') from None
    return builder.close()


def _decoded(content: bytes, path: str | os.PathLike) -> bytes | str:
    """Text where the file names an encoding that the parser does not know."""
    named = re.match(rb'\s*<\?xml[^>]*\sencoding\s*=\s*["\']([\w.-]+)["\']', content[:200])
    name = named[1].decode().lower() if named else 'utf-8'
    if name in ('utf-8', 'utf8', 'utf-16', 'us-ascii', 'ascii', 'iso-8859-1'):
        return content
    try:
        return content.decode(name)
    except (LookupError, UnicodeDecodeError) as error:
        raise ValueError(f'{path}: it says encoding={name!r}, and is not that ({error})') from None


def _text(node: Element | None, name: str) -> str:
    found = None if node is None else node.find(name)
    return '' if found is None or found.text is None else found.text.strip()


def _side(size: Element | None, *names: str) -> int | None:
    """A width or height; "640.0" is 640."""
    for name in names:
        try:
            value = float(_text(size, name))
        except ValueError:
            continue
        if value.is_integer() and 0 < value < 2**31:
            return int(value)
    return None


def _object(node: Element, number: int, where: str) -> VocObject:
    given = node.find('name')
    name = _text(node, 'name')
    if not name:
        raise ValueError(f'{where}: its <name> is {"missing" if given is None else "empty"}')
    boxes = node.findall('bndbox')
    where = f'{where} ({shorten(name, 40)})'
    if len(boxes) > 1:
        raise ValueError(f'{where}: it has {len(boxes)} <bndbox>. Make one object of each')
    if boxes and (len(boxes[0]) or _text(node, 'bndbox')):
        corners = [_number(boxes[0], key, where) for key in ('xmin', 'ymin', 'xmax', 'ymax')]
        shape = 'bndbox'
    elif (polygon := node.find('polygon')) is not None:
        corners, shape = _around(polygon, where), 'polygon'
    elif (turned := node.find('robndbox')) is not None:
        corners, shape = _around_turned(turned, where), 'robndbox'
    else:
        raise ValueError(f'{where}: it has no <bndbox>')
    # VOC's first years say "Unspecified".
    is_difficult = _text(node, 'difficult').lower() in ('1', 'true', 'yes')
    blanks = given.text != name
    return VocObject(number, name, tuple(corners), is_difficult, shape, blanks)


def _number(node: Element, name: str, where: str) -> float:
    found = node.findall(name)
    text = _text(node, name)
    if len(found) != 1:
        raise ValueError(f'{where}: it has {len(found) or "no"} <{name}>')
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(
            f'{where}: <{name}> is {shorten(text, 40)!r}, not a number. Correct or remove it'
        )
    return value


def _around(polygon: Element, where: str) -> list[float]:
    """The box around <pt><x>, <pt><y> of LabelMe, or <x1>, <y1>, <x2>, ... of Roboflow."""
    xs, ys = [], []
    for node in polygon.iter():
        if match := re.fullmatch(r'([xy])\d*', node.tag):
            values = xs if match[1] == 'x' else ys
            try:
                values.append(float(node.text or ''))
            except ValueError:
                values.append(math.nan)
    if len(xs) != len(ys) or len(xs) < 3 or not all(map(math.isfinite, (*xs, *ys))):
        raise ValueError(f'{where}: it has no <bndbox>, and its <polygon> not three points')
    return [min(xs), min(ys), max(xs), max(ys)]


def _around_turned(node: Element, where: str) -> list[float]:
    """The box around one that is turned about its centre, by radians, as roLabelImg writes it."""
    x, y, width, height, angle = (
        _number(node, key, where) for key in ('cx', 'cy', 'w', 'h', 'angle')
    )
    cosine, sine = abs(math.cos(angle)), abs(math.sin(angle))
    half_x = (width * cosine + height * sine) / 2
    half_y = (width * sine + height * cosine) / 2
    return [x - half_x, y - half_y, x + half_x, y + half_y]
