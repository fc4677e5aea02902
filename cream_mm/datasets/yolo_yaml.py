"""What a YOLO set says of itself: class names and where its images lie.

It stands in a ``data.yaml``, or in the ``obj.data`` of darknet and CVAT. Tags of YAML are not
obeyed, so that nothing in a file runs.
"""

import os
import re
from dataclasses import dataclass, field

import yaml

from ..files import some_of
from ..files.read import shorten
from .folder_listing import TEST_NAMES, TRAIN_NAMES
from .yolo_names import clean_names, read_names, read_names_text
from .yolo_places import find_place

MAX_YAML_BYTES = 8 * 2**20
SPLIT_KEYS = dict(train=TRAIN_NAMES, val=('val', 'valid', 'validation'), test=TEST_NAMES)


@dataclass
class YoloIndex:
    """What a set says of itself.

    Attributes:
        path (str): The file.
        names (list[str]): Of the classes; None if it does not say.
        places (dict[str, list[str]]): Of 'train', 'val' and 'test': folders and lists of images,
            as they are written.
        base (str): What places are relative to, as it is written, '' if it does not say.
        keypoints (tuple[int, int]): Number of key points and values of each; None without.
        notes (list[str]): Lines about what is odd.
    """

    path: str
    names: list[str] | None = None
    places: dict[str, list[str]] = field(default_factory=dict)
    base: str = ''
    keypoints: tuple[int, int] | None = None
    notes: list[str] = field(default_factory=list)


def read_yolo_yaml(path: str | os.PathLike) -> YoloIndex:
    """Read a ``data.yaml``.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is no YAML, or what it says of classes and images cannot be understood;
            with the line.
    """
    path = os.fspath(path)
    top = _compose(path)
    index = YoloIndex(path)
    if 'names' in top:
        index.names = _names(path, top['names'], index)
    number = _nc(path, top)
    if index.names and number not in (None, len(index.names)):
        raise ValueError(
            f'{path}: nc is {number}, but names has {len(index.names)}: {some_of(index.names)}. '
            'Correct one of them'
        )
    index.base = _path(path, top['path'], index) if 'path' in top else ''
    for split, keys in SPLIT_KEYS.items():
        node = next((top[key] for key in keys if key in top and not _is_null(top[key])), None)
        if node is not None:
            nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
            index.places[split] = [_path(path, one, index) for one in nodes]
    if 'kpt_shape' in top:
        index.keypoints = _keypoints(path, top['kpt_shape'])
    return index


def read_darknet(path: str | os.PathLike) -> YoloIndex:
    """Read an ``obj.data``: lines of ``key = value``.

    Raises:
        OSError: If it, or the file of names, cannot be read.
        ValueError: If it is no such file, or the number of names is not that of the classes.
    """
    path = os.fspath(path)
    values: dict[str, str] = {}
    for number, line in enumerate(read_names_text(path).splitlines(), 1):
        line = line.strip()
        if not line or line[0] in '#;':
            continue
        key, is_pair, value = line.partition('=')
        if not is_pair:
            raise ValueError(f'{path}, line {number}: {shorten(line)!r} is not "key = value"')
        values[key.strip().lower()] = value
    index = YoloIndex(path)
    for split, keys in SPLIT_KEYS.items():
        value = next((values[key] for key in keys if values.get(key, '').strip()), None)
        if value is not None:
            index.places[split] = [_plain_path(value, index)]
    if 'names' in values:
        root = os.path.dirname(path)
        place, _ = find_place(_plain_path(values['names'], index), path, '', root)
        index.names = read_names(place, index.notes)
        count = values.get('classes', '').strip()
        if count.isdigit() and int(count) != len(index.names):
            raise ValueError(
                f'{path}: classes = {count}, but {place} has {len(index.names)} names: '
                f'{some_of(index.names)}. Correct one of them'
            )
    return index


# ---- YAML ----------------------------------------------------------------------------------------


def _compose(path: str) -> dict[str, yaml.Node]:
    """The top level of a YAML file, its values as they are written."""
    text = read_names_text(path)
    if len(text) > MAX_YAML_BYTES:
        raise ValueError(f'{path} is too large for a data.yaml: {len(text):,} characters')
    try:
        top = yaml.compose(text, yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, 'problem_mark', None)
        line = f', line {mark.line + 1}' if mark else ''
        problem = getattr(error, 'problem', None) or error
        raise ValueError(f'{path}{line}: not valid YAML ({shorten(str(problem))})') from None
    except RecursionError:
        raise ValueError(f'{path}: not valid YAML (it nests too deeply)') from None
    if not isinstance(top, yaml.MappingNode):
        raise ValueError(f'{path}: its top level is no list of "key: value"')
    found: dict[str, yaml.Node] = {}
    for key, value in top.value:
        if isinstance(key, yaml.ScalarNode) and found.setdefault(key.value, value) is not value:
            raise ValueError(f'{_where(path, key)}: the key {key.value!r} stands twice')
    return found


def _where(path: str, node: yaml.Node) -> str:
    return f'{path}, line {node.start_mark.line + 1}'


def _is_null(node: yaml.Node) -> bool:
    return node.tag == 'tag:yaml.org,2002:null' or node.value == []


def _names(path: str, node: yaml.Node, index: YoloIndex) -> list[str]:
    if isinstance(node, yaml.SequenceNode):
        nodes = node.value
    elif isinstance(node, yaml.MappingNode):
        nodes = _in_order(path, node)
    else:
        return _names_of_text(path, node, index)
    names = [_name(path, one) for one in nodes]
    return clean_names(names, _where(path, node), index.notes)


def _name(path: str, node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise ValueError(f'{_where(path, node)}: a class name is no text but a list of its own')
    kind = node.tag.rpartition(':')[2]
    if kind != 'str':
        kind = dict(bool='true or false', int='a number', float='a number', null='nothing').get(
            kind, f'a {kind}'
        )
        raise ValueError(
            f'{_where(path, node)}: YAML reads the class name {node.value} as {kind}. Put it in '
            f"quotes: '{node.value}'"
        )
    return node.value


def _in_order(path: str, node: yaml.MappingNode) -> list[yaml.Node]:
    """Names by their numbers, 0 to n - 1."""
    by_number: dict[int, yaml.Node] = {}
    for key, value in node.value:
        text = key.value.strip() if isinstance(key, yaml.ScalarNode) else ''
        if not re.fullmatch(r'\d{1,9}', text):
            raise ValueError(
                f'{_where(path, key)}: {shorten(text or "a list", 40)!r} is no number of a class. '
                'Write names as "0: first", "1: second"'
            )
        if by_number.setdefault(int(text), value) is not value:
            raise ValueError(f'{_where(path, key)}: the class {int(text)} stands twice')
    missing = [str(n) for n in range(len(by_number)) if n not in by_number]
    if missing:
        hint = ': classes count from 0' if missing == ['0'] else ''
        raise ValueError(
            f'{_where(path, node)}: names has the classes '
            f'{some_of(list(map(str, sorted(by_number))))}, '
            f'but not {some_of(missing)}{hint}. Number them 0 to {len(by_number) - 1}, in the '
            'label files, too, or name the missing ones'
        )
    return [by_number[number] for number in sorted(by_number)]


def _names_of_text(path: str, node: yaml.Node, index: YoloIndex) -> list[str]:
    """Names that are one text: a file of names, or the only class."""
    text = _name(path, node).strip()
    if re.search(r'\.(?:names|txt)$', text):
        place, _ = find_place(text, path, '', os.path.dirname(path))
        return read_names(place, index.notes)
    if not text or re.search(r'[,;\[\]{}\n]', text):
        raise ValueError(
            f'{_where(path, node)}: names is one text, {shorten(text)!r}. Write a list: '
            'names: [first, second]'
        )
    index.notes.append(f'{path}: names is one text, {text!r}: taken as the only class')
    return [text]


def _nc(path: str, top: dict[str, yaml.Node]) -> int | None:
    if 'nc' not in top or _is_null(top['nc']):
        return None
    node = top['nc']
    if not isinstance(node, yaml.ScalarNode) or not re.fullmatch(r'\s*\d{1,9}\s*', node.value):
        raise ValueError(f'{_where(path, node)}: nc is not the number of classes')
    return int(node.value)


def _keypoints(path: str, node: yaml.Node) -> tuple[int, int] | None:
    if _is_null(node):
        return None
    values = [one.value for one in node.value] if isinstance(node, yaml.SequenceNode) else []
    if len(values) != 2 or not all(isinstance(v, str) and v.strip().isdigit() for v in values):
        raise ValueError(f'{_where(path, node)}: kpt_shape is not [number of points, 2 or 3]')
    return int(values[0]), int(values[1])


def _path(path: str, node: yaml.Node, index: YoloIndex) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise ValueError(f'{_where(path, node)}: expected the path of a folder or of a list')
    return '' if _is_null(node) else _plain_path(node.value, index)


def _plain_path(text: str, index: YoloIndex) -> str:
    """A path without stray quotes and blanks, and with slashes."""
    plain = text.strip().strip('"\'\u2018\u2019\u201c\u201d').strip()
    if plain != text.strip():
        index.notes.append(f'{index.path}: the path {text.strip()} has quotes in it: taken without')
    return plain.replace('\\', '/')
