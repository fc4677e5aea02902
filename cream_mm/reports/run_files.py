"""What the report reads: the files of a run, checked so that whatever they hold can be drawn.

Words are shortened, numbers that are not finite left out; anything else that no run writes is an
error with the name of the file and the entry.
"""

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..datasets.coco_mend import mend_coco
from ..datasets.coco_notes import Notes
from ..datasets.coco_pictures import Folder
from ..files import Dropped, read_json, read_json_lines, read_lines, shorten
from ..files.answer_file import SEARCH_FORMAT
from ..files.arch_file import ARCH_FORMAT, network_of
from ..files.board_file import BOARD_FORMAT
from ..files.front_file import FRONT_FORMAT
from ..files.space_entry import MAX_LAYERS
from ..spaces import Space
from ..structures import Arch

MAX_WORD = 300
MAX_LINES = 20_000  # lines of training that are read; a curve of more looks the same
MAX_COCO_BYTES, MAX_COCO_VALUES = 512 * 2**20, 10_000_000


def read_answer(path: Path, notes: list[str]) -> dict:
    """``best_arch.json``; entries that a report does not know are left as they are.

    ``space, costs, rating, choice, budget, latency`` and ``layers`` are there, empty if the file
    has none. Of layers that are too many to draw there is a note instead.

    Raises:
        OSError, ValueError: If it cannot be read, or holds what no search writes.
    """
    content = _read(path, ARCH_FORMAT)
    if not isinstance(content.get('arch'), list):
        raise ValueError(f'{path} has no "arch" list. Run the search again to write it.')
    layers = content.get('layers')
    if isinstance(layers, list) and len(layers) > MAX_LAYERS:
        notes.append(
            f'Drawing and cost table: {path.name} lists {len(layers):,} layers, more than '
            f'{MAX_LAYERS:,}.'
        )
        content['layers'] = []
    nothing = dict(layers=[], space={}, costs={}, rating={}, choice={}, budget={}, latency={})
    return nothing | _checked(content, _ANSWER, path)


def read_network(path: Path) -> tuple[Arch, Space] | None:
    """An answer and its space; None if its entries are not those of one that is known here."""
    try:
        return network_of(_read(path, ARCH_FORMAT), str(path))
    except ValueError:
        return None


def read_board(path: Path) -> dict:
    """``board.json``; its lists ``entries`` and ``rated`` are there, ranks begin at 1.

    Raises:
        OSError, ValueError: If it cannot be read, or holds what no search writes.
    """
    content = dict(entries=[], rated=[]) | _checked(_read(path, BOARD_FORMAT), _BOARD, path)
    ranks = [entry['rank'] for entry in content['entries'] if 'rank' in entry]
    if ranks and min(ranks) == 0:  # they began at 0 in earlier files
        content['entries'] = [
            dict(entry, rank=entry['rank'] + 1) if 'rank' in entry else entry
            for entry in content['entries']
        ]
    return content


def read_search(path: Path) -> list[dict]:
    """The rated paths of ``search.json``.

    Raises:
        OSError, ValueError: If it cannot be read, or holds what no search writes.
    """
    return _checked(_read(path, SEARCH_FORMAT), _SEARCH, path).get('rated', [])


def read_front(path: Path) -> dict:
    """``front.json``: the best path for each of several budgets, and what to compare them with.

    Returns:
        dict: ``cost``, a key of ``costs``; ``score``, what compares ratings; ``answer``;
        ``steps`` and ``references``, each with ``arch, costs, rating`` as far as they are known;
        ``budget``.

    Raises:
        OSError, ValueError: If it cannot be read, or holds what no search writes.
    """
    content = _checked(_read(path, FRONT_FORMAT), _FRONT, path)
    missing = [key for key in ('cost', 'score', 'answer') if key not in content]
    if missing:
        raise ValueError(f'{path} has no "{missing[0]}". Run the search again to write it.')
    return dict(budget={}, steps=[], references=[]) | content


def read_scalars(work_dir: str | Path, notes: list[str] | None = None) -> tuple[dict, dict]:
    """Read the scalars of all runs in a work directory as one history.

    mmengine starts a new ``<timestamp>`` folder at each (re)start. Where runs overlap, the later
    one wins: it is the one the final weights come from. Of very many training lines only every
    second, third, ... is read.

    Args:
        work_dir (str | Path): Holds ``<timestamp>/vis_data/scalars.json``, one object per line.
        notes (list[str], optional): What was left out is added.

    Returns:
        tuple[dict, dict]: Training and validation lines, each ``{step: line}`` in order of steps,
        of finite numbers. Validation lines are those with a metric (a key with a slash).

    Raises:
        OSError, ValueError: If a file cannot be read.
    """
    train, val, dropped, read = {}, {}, Dropped(), 0
    paths = sorted(Path(work_dir).glob('*/vis_data/scalars.json'))
    counts = [sum(1 for _ in read_lines(path, MAX_COCO_BYTES)) for path in paths]
    stride = math.ceil(sum(counts) / MAX_LINES) or 1
    if stride > 1 and notes is not None:
        notes.append(f'Curves: {sum(counts)} lines under {work_dir}, drawn is one of {stride}.')
    for path in paths:

        def is_read(number: int, line: bytes) -> bool:
            return number % stride == 0 or b'/' in line[:MAX_WORD]

        for _, line in read_json_lines(
            path, dropped, finite=False, max_values=1000, max_bytes=MAX_COCO_BYTES, wanted=is_read
        ):
            read += 1
            if read > 2 * MAX_LINES:
                if notes is not None:
                    notes.append(f'Curves: lines beyond {2 * MAX_LINES} under {work_dir}.')
                break
            numbers = {k: v for k, v in line.items() if is_number(v) and len(k) <= 60}
            if 0 <= numbers.get('step', -1) <= 1e12:
                lines = val if any('/' in key for key in line) else train
                lines.setdefault(int(numbers['step']), {}).update(numbers)
    if dropped and notes is not None:
        notes.append(f'Curves: {dropped}.')
    return dict(sorted(train.items())), dict(sorted(val.items()))


def read_detections(
    ann_file: Path, predictions: Path, img_dir: Path | None = None
) -> tuple[dict, list]:
    """Annotations in COCO's format, and predictions in that of its results.

    The annotations are those that the predictions were measured against: mended, as they were
    read. What cannot be mended any more, as pictures are gone, is taken as it is.

    Raises:
        OSError, ValueError: If one cannot be read, or is not of that format.
    """
    limits = dict(finite=False, max_bytes=MAX_COCO_BYTES, max_values=MAX_COCO_VALUES)
    content, found = read_json(ann_file, **limits), read_json(predictions, **limits)
    if not isinstance(content, dict):
        raise ValueError(f'{ann_file} is not a COCO annotation file')
    if not isinstance(found, list):
        raise ValueError(f'{predictions} is no list of predictions')
    found = _list_of(_PREDICTION, needed=True)(found, f'{predictions}: predictions')
    try:
        folder = None if img_dir is None else Folder(str(img_dir))
        content = mend_coco(content, Notes(str(ann_file)), folder)
    except ValueError:
        content = read_json(ann_file, **limits)
    return _checked(content, _ANNOTATIONS, ann_file), found


def is_number(value: Any) -> bool:
    """Whether a value can be drawn: a number, finite, and so far from the largest that sums are."""
    return type(value) in (int, float) and abs(value) <= 1e30


# ---- kinds of values: each gives the value, or raises ------------------------------------------

Kind = Callable[[Any, str], Any]


def _wrong(where: str, value: Any) -> ValueError:
    return ValueError(f'{where} is {shorten(repr(value))}, which no run writes')


def _number(low: float = -1e30, high: float = 1e30) -> Kind:
    def read(value, where):
        if type(value) is float and not math.isfinite(value):
            return None
        if type(value) not in (int, float) or not low <= value <= high:
            raise _wrong(where, value)
        return value

    return read


def _integer(low: int, high: int) -> Kind:
    def read(value, where):
        if type(value) is not int or not low <= value <= high:
            raise _wrong(where, value)
        return value

    return read


def _word(value, where):
    if not isinstance(value, str):
        raise _wrong(where, value)
    return shorten(value, MAX_WORD)


def _sentence(value, where):
    if not isinstance(value, str):
        raise _wrong(where, value)
    return shorten(value, 1000)


def _one_of(*values: str) -> Kind:
    def read(value, where):
        if not isinstance(value, str) or value not in values:
            raise _wrong(where, value)
        return value

    return read


def _flag(value, where):
    if not isinstance(value, bool):
        raise _wrong(where, value)
    return value


def _any_of(*kinds: Kind) -> Kind:
    def read(value, where):
        for kind in kinds:
            try:
                return kind(value, where)
            except ValueError:
                continue
        raise _wrong(where, value)

    return read


def _list_of(kind: Kind | dict, *, most: int | None = None, needed: bool = False) -> Kind:
    def read(value, where):
        if not isinstance(value, list) or (most is not None and len(value) > most):
            raise _wrong(where, value)
        if isinstance(kind, dict):
            return [_entry(item, kind, f'{where}[{i}]', needed) for i, item in enumerate(value)]
        return [kind(item, f'{where}[{i}]') for i, item in enumerate(value)]

    return read


def _dict_of(kind: Kind) -> Kind:
    def read(value, where):
        if not isinstance(value, dict) or len(value) > 100:
            raise _wrong(where, value)
        return {shorten(k): kind(v, f'{where}.{shorten(k)}') for k, v in value.items()}

    return read


def _fields(kinds: dict[str, Kind]) -> Kind:
    return lambda value, where: _entry(value, kinds, where)


def _entry(value: Any, kinds: dict[str, Kind], where: str, needed: bool = False) -> dict:
    """The known entries of a dict; one that is None is as good as not there."""
    if not isinstance(value, dict):
        raise _wrong(where, value)
    if needed and (missing := [key for key in kinds if value.get(key) is None]):
        raise ValueError(f'{where} has no "{missing[0]}"')
    return {
        key: kind(value[key], f'{where}.{key}')
        for key, kind in kinds.items()
        if value.get(key) is not None
    }


def _arch(value, where):
    nested = _list_of(_list_of(_integer(0, 10**6)))(value, where)
    if sum(map(len, nested)) > MAX_LAYERS or len(nested) > MAX_LAYERS:
        raise ValueError(f'{where} has {sum(map(len, nested))} layers; {MAX_LAYERS} are the most')
    return nested


_count, _cost, _percent = _number(0, 1e15), _number(0, 1e15), _number(0, 100)
_size = _list_of(_integer(0, 10**6), most=2)
_sizes = _list_of(_integer(0, 10**6), most=MAX_LAYERS)


def _pair(value, where):
    if not isinstance(value, list) or len(value) != 2:
        raise _wrong(where, value)
    return [_integer(0, 10**6)(item, where) for item in value]


def _bound(value, where):  # None: open, or not known
    return None if value is None else _cost(value, where)


def _limits(value, where):
    if not isinstance(value, list) or len(value) != 2:
        raise _wrong(where, value)
    return [_bound(item, where) for item in value]


_budget = _dict_of(_limits)

_SLICE = _fields(
    dict(arch=_arch, space=_fields(dict(input_sizes=_sizes)), full_costs=_dict_of(_bound))
)
_LAYER = dict(
    name=_word, op=_word, stage=_integer(0, 10**6), kernel=_integer(0, 10**6), expand=_count,
    in_channels=_count, out_channels=_count, stride=_count, out_size=_size, macs=_count,
    params=_count, latency_ms=_cost, edge=_word, cell=_word,
)  # fmt: skip
_ANSWER = dict(
    arch=_arch,
    space=_fields(
        dict(name=_word, choices=_list_of(_any_of(_word, _pair), most=1000), depths=_sizes,
             widths=_sizes)
    ),
    weights_travel=_flag,
    slice_of=_SLICE,
    num_classes=_integer(0, 10**9),
    input_size=_size,
    costs=_dict_of(_cost),
    rating=_fields(
        dict(
            top1_pct=_percent, num_images=_integer(1, 10**12), loss=_number(0), bn_policy=_word,
            metric=_word, value=_number(),
        )
    ),
    choice=_fields(dict(rule=_word, notes=_list_of(_sentence, most=100))),
    budget=_budget,
    config=_word,
    seed=_any_of(_integer(-(2**63), 2**63), _word),
    layers=_list_of(_LAYER),
    latency=_fields(
        dict(
            machine=_fields(
                dict(processor=_word, device=_word, backend=_word, threads=_integer(0, 10**6))
            ),
            batch=_integer(1, 10**9),
        )
    ),
    cream_mm=_word,
)  # fmt: skip
_PATH = dict(
    rank=_integer(0, 10**9), arch=_arch, source=_word, macs_m=_cost, params_m=_cost,
    latency_ms=_cost, top1_pct=_percent, train_top1_pct=_percent, loss=_number(0), metric=_word,
    value=_number(), vs_answer=_fields(dict(mean=_number(), error=_number(0))),
)  # fmt: skip
_SEARCH = dict(rated=_list_of(_PATH))
_BOARD = dict(capacity=_integer(0, 10**9), entries=_list_of(_PATH), rated=_list_of(_PATH))
_RATED = dict(
    arch=_arch,
    space=_fields(dict(depths=_sizes, widths=_sizes)),
    input_size=_size,
    slice_of=_SLICE,
    costs=_dict_of(_bound),
    rating=_fields(
        dict(score=_number(), num_images=_integer(1, 10**12), top1_pct=_percent, loss=_number(0))
    ),
)
_FRONT = dict(
    cost=_word, score=_word, higher_is_better=_flag, by=_one_of('effects', 'ratings'),
    budget=_budget, steps=_list_of(dict(bound=_cost, **_RATED)),
    references=_list_of(dict(name=_word, **_RATED)), answer=_fields(_RATED),
)  # fmt: skip
_id = _any_of(_integer(-(2**63), 2**63), _word)


def _box(value, where):
    box = _list_of(_number(-1e6, 1e6))(value, where)
    if len(box) != 4 or None in box or min(box[2:]) < 0:
        raise _wrong(where, value)
    return box


def _file_name(value, where):
    # Not shortened: it names a file.
    if not isinstance(value, str) or len(value) > 4096 or '\0' in value:
        raise _wrong(where, value)
    try:
        os.fsencode(value)
    except UnicodeEncodeError:  # half of a surrogate pair
        raise _wrong(where, value) from None
    return value


_PREDICTION = dict(image_id=_id, category_id=_id, bbox=_box, score=_number(0, 1e6))
_ANNOTATIONS = dict(
    images=_list_of(dict(id=_id, file_name=_file_name), needed=True),
    annotations=_list_of(dict(image_id=_id, category_id=_id, bbox=_box), needed=True),
    categories=_list_of(dict(id=_id, name=_word), needed=True),
)


def _read(path: Path, expected_format: str) -> dict:
    content = read_json(path, finite=False)
    found = content.get('format') if isinstance(content, dict) else None
    if found != expected_format:
        raise ValueError(
            f'{path} has format {shorten(repr(found))}, this report reads {expected_format!r}. Run '
            'the search again with this version of cream_mm.'
        )
    return content


def _checked(content: dict, kinds: dict[str, Kind], path: Path) -> dict:
    """The content with its known entries checked; one that is None is left out."""
    known = {
        key: kind(content[key], f'{path}: "{key}"')
        for key, kind in kinds.items()
        if content.get(key) is not None
    }
    return {key: value for key, value in content.items() if key not in kinds} | known
