"""What is wrong, odd or worth knowing about a data set, ranked, each with what to do about it."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from ..command_words import as_typed
from .box_set import CANNOT_BE_READ
from .class_shares import ShareDifference, compare_shares
from .copies import Copies, find_copies
from .data_source import ALL, DataSource, Picture
from .folder_listing import same_but_for_case
from .held_out_error import MIN_BOXES, MIN_IMAGES, is_coarse, standard_error, told_apart
from .picture_look import KINDS, Look, look_at_pictures

LEVELS = ('error', 'warning', 'note')
MAX_EXAMPLES = 5
MIN_OF_CLASS = 10  # images of a class
MAX_IMBALANCE = 20  # the largest class to the smallest
SMALL_SIDE, LARGE_PIXELS = 32, 25_000_000
MAX_ASPECT = 4.0
TINY_BOX = 4.0  # pixels, the shorter side
SAME_BOX = 0.95  # IoU of two boxes of one class that are taken for one object
MANY_BOXES = 100  # what detectors here give for an image at most
SAVE_AGAIN = 'load or save them again, or remove them'
SPLITTER = 'tools/check_data.py DIR --split 0.1 --apply copy'
FOLDS = 'tools/train.py CONFIG --folds 5, CONFIG as a training leaves it in its work_dir'
MORE_IMAGES = f'more images, or folds of all: {FOLDS}'
WITHOUT_THAT = f'{SPLITTER} writes a split without that'


@dataclass
class Finding:
    """One thing that was found.

    Attributes:
        level (str): One of :data:`LEVELS`.
        text (str): What it is.
        remedy (str): What to do about it; '' where there is nothing to do.
        count (int): How often it was found.
        examples (list[str]): The first ones, in words.
        groups (list[list[int]]): Pictures that belong together, as positions in the set.
        places (list[int]): All pictures that it is about, as positions in the set.
    """

    level: str
    text: str
    remedy: str = ''
    count: int = 1
    examples: list[str] = field(default_factory=list)
    groups: list[list[int]] = field(default_factory=list)
    places: list[int] = field(default_factory=list)


@dataclass
class DataCheck:
    """A set, what each of its pictures is, and what was found.

    Attributes:
        looks (list[Look]): Of ``source.pictures``; empty where pictures are no files.
        findings (list[Finding]): The gravest first.
    """

    source: DataSource
    looks: list[Look]
    copies: Copies
    findings: list[Finding]

    @property
    def has_errors(self) -> bool:
        """Whether a training would stop at something."""
        return any(finding.level == 'error' for finding in self.findings)

    def counts(self) -> dict[str, list[int]]:
        """For each split the number of images of each class; with boxes, of boxes."""
        return {
            split: _per_class(pictures, len(self.source.classes), whole=True)
            for split, pictures in self.source.splits.items()
        }


def check_source(source: DataSource, step: Callable[[], None] | None = None) -> DataCheck:
    """Look at all pictures of a set, and say what is found.

    Args:
        source (DataSource): The set.
        step (Callable, optional): Is called after each picture.
    """
    pictures = source.pictures
    looks = look_at_pictures([p.path for p in pictures], step) if source.has_files else []
    copies = find_copies(looks, [p.path for p in pictures]) if looks else Copies()
    check = DataCheck(source, looks, copies, [])
    for find in (_of_reader, _files, _copies, _classes, _shares, _hold_out, _sizes, _boxes):
        found = (finding for finding in find(check) if finding.count)
        check.findings += [replace(one, remedy=as_typed(one.remedy)) for one in found]
    check.findings.sort(key=lambda finding: LEVELS.index(finding.level))
    return check


def _names(pictures: Sequence[Picture], places: Iterable[int]) -> list[str]:
    return _first_of([pictures[i].name for i in places])


def _first_of(texts: list[str]) -> list[str]:
    more = len(texts) - MAX_EXAMPLES
    return texts[:MAX_EXAMPLES] + ([f'and {more} more'] if more > 0 else [])


def _per_class(pictures: Iterable[Picture], number: int, whole: bool = False) -> list[int]:
    """Of each class its images; with ``whole``, its boxes where there are several in one."""
    counts = Counter(k for p in pictures for k in (p.labels if whole else set(p.labels)))
    return [counts[k] for k in range(number)]


def _images(number: int) -> str:
    return f'{number:,} image{"s" * (number != 1)}'


# ---- what the reader says, and the files ---------------------------------------------------------


def _of_reader(check: DataCheck) -> Iterable[Finding]:
    for text in check.source.errors:
        yield Finding('error', text)
    for text in check.source.notes:
        if CANNOT_BE_READ in text:  # a reader of boxes leaves them out
            yield Finding('error', text, SAVE_AGAIN)
        else:
            yield Finding('note', text)
    if not check.source.has_files:
        yield Finding('note', 'packed images are no files: only classes are looked at')


def _files(check: DataCheck) -> Iterable[Finding]:
    pictures, by_reason, by_kind = check.source.pictures, defaultdict(list), defaultdict(list)
    for i, look in enumerate(check.looks):
        if look.problem is not None:
            by_reason[_short_reason(look.problem)].append(i)
        for kind in look.kinds:
            by_kind[kind].append(i)
    for reason, places in by_reason.items():
        yield Finding(
            'error', f'{_images(len(places))} cannot be read whole: {reason}',
            SAVE_AGAIN,
            len(places), _names(pictures, places), places=places,
        )  # fmt: skip
    total = len(pictures)
    for kind, places in by_kind.items():
        if kind == 'grey' and len(places) == total:
            continue
        level = 'warning' if kind in ('see_through', 'deep', 'cmyk') else 'note'
        remedy = dict(
            see_through='if the ground matters, save them on a ground of one colour, without '
            'transparency',
            deep='if they look too dark, scale them to 8 bits yourself',
            cmyk='save them as RGB with their colour profile: printing colours are read roughly',
            turned='boxes have to be drawn on the turned picture' if check.source.has_boxes else '',
        ).get(kind, '')
        of_all = 'all ' if len(places) == total else ''
        text = f'{of_all}{_images(len(places))} {KINDS[kind]}'
        yield Finding(level, text, remedy, len(places), _names(pictures, places), places=places)


def _short_reason(problem: str) -> str:
    if 'truncated' in problem or 'Truncated' in problem:
        return 'the file is cut off'
    return problem


# ---- copies --------------------------------------------------------------------------------------


def _copies(check: DataCheck) -> Iterable[Finding]:
    source, pictures, splits = check.source, check.source.pictures, check.source.split_names
    keep = 'a split of your own has to keep them on one side'
    wrong = '{} in two classes: WRONG LABELS, one of them at least'
    if source.has_boxes or source.is_multi:
        wrong = '{}, labelled differently: one of them is wrong or incomplete'
    for groups, how in (
        (check.copies.by_bytes, 'with the same bytes'),
        (check.copies.by_look, 'that look the same'),
        (check.copies.by_name, 'augmented from one, as their names say,'),
    ):
        is_one = groups is not check.copies.by_name  # an augmented copy may lack a box
        other = [g for g in groups if is_one and len({_label_counts(pictures[i]) for i in g}) > 1]
        two = [g for g in groups if len({splits[i] for i in g}) > 1]
        told = {g[0] for g in (*two, *other)}
        rest = [g for g in groups if g[0] not in told]
        for level, text, remedy, found in (
            ('warning', wrong.format(how), 'look at them, and correct or remove one', other),
            ('warning', f'{how} in two splits, so that results come out too high',
             f'remove them from one; {WITHOUT_THAT}', two),
            ('note', f'{how} within one split', keep, rest),
        ):  # fmt: skip
            yield _of_groups(level, text, remedy, found, pictures)
    if not check.copies.is_whole:
        yield Finding(
            'note', 'too many pictures to compare each with all others by look: those that look '
            'exactly the same were found'
        )  # fmt: skip


def _label_counts(picture: Picture) -> tuple[int, ...]:
    return tuple(sorted(picture.labels))


def _of_groups(
    level: str, text: str, remedy: str, groups: list[list[int]], pictures: Sequence[Picture]
) -> Finding:
    shown = _first_of([' = '.join(_names(pictures, group)) for group in groups])
    number = len(groups)
    text = f'{number:,} group{"s" * (number != 1)} of pictures {text}'
    return Finding(level, text, remedy, len(groups), shown, groups)


# ---- classes -------------------------------------------------------------------------------------


def _classes(check: DataCheck) -> Iterable[Finding]:
    source = check.source
    if not source.classes:
        return
    what = 'boxes' if source.has_boxes else 'images'
    by_split = check.counts()
    train = by_split[next(iter(by_split))]
    name_of = source.classes.__getitem__
    if len(source.classes) == 1 and not source.has_boxes:
        yield Finding(
            'error', f'a single class, {source.classes[0]}: there is nothing to tell apart',
            'add a second one, of images without it for example',
        )  # fmt: skip
    alike = [' / '.join(names) for names in same_but_for_case(source.classes)]
    yield Finding(
        'warning', f'{len(alike)} x class names that differ in case, blanks or accents alone',
        'they are trained as different classes: rename if they are one', len(alike), alike,
    )  # fmt: skip
    for split, counts in by_split.items():
        empty = [name_of(k) for k, n in enumerate(counts) if n == 0]
        is_first = counts is train
        yield Finding(
            'warning' if is_first else 'note',
            f'{len(empty)} of {len(counts)} classes without {what} in {split}',
            'leave them out of the classes, or add some' if is_first
            else 'nothing is known of them there', len(empty), empty[:MAX_EXAMPLES],
        )  # fmt: skip
    few = sorted((n, name_of(k)) for k, n in enumerate(train) if 0 < n < MIN_OF_CLASS)
    yield Finding(
        'warning', f'{len(few)} of {len(train)} classes with fewer than {MIN_OF_CLASS} {what} to '
        'train on', 'more of them, or a class for several of them', len(few),
        [f'{name}: {n}' for n, name in few[:MAX_EXAMPLES]],
    )  # fmt: skip
    order = sorted((n, k) for k, n in enumerate(train) if n)
    if len(order) > 1 and order[-1][0] > MAX_IMBALANCE * order[0][0]:
        (low, rare), (high, common) = order[0], order[-1]
        yield Finding(
            'note', f'classes of very different size: {name_of(common)} has {high:,} {what} to '
            f'train on, {name_of(rare)} {low:,}',
            'an accuracy over all says little about the small ones: look at each class',
        )  # fmt: skip
    labelled = [p for p in source.pictures if not p.labels]
    if not source.has_boxes and labelled:
        yield Finding(
            'note', f'{_images(len(labelled))} without a label', '', len(labelled),
            [p.name for p in labelled[:MAX_EXAMPLES]],
        )  # fmt: skip


def _shares(check: DataCheck) -> Iterable[Finding]:
    source = check.source
    counts = {s: _per_class(p, len(source.classes)) for s, p in source.splits.items()}
    one = next(iter(counts))
    for other in list(counts)[1:]:
        found = compare_shares(counts[one], counts[other])
        if found.is_large:
            yield Finding(
                'warning', f'{other} has other class shares than {one} '
                f"(Cramer's V {found.cramers_v:.2f}, p {_p(found)})",
                f'what is better on {other} may be so by the shares alone; {WITHOUT_THAT}',
                1, list(_share_lines(source, counts, one, other, found)),
            )  # fmt: skip


def _p(found: ShareDifference) -> str:
    return f'{found.p_value:.1g}' if found.p_value > 1e-9 else 'below 1e-9'


def _share_lines(
    source: DataSource, counts: dict, one: str, other: str, found: ShareDifference
) -> Iterable[str]:
    totals = {split: sum(counts[split]) for split in (one, other)}
    for k in found.classes[:MAX_EXAMPLES]:
        a, b = (100 * counts[split][k] / totals[split] for split in (one, other))
        yield f'{source.classes[k]}: {a:.1f} % of {one}, {b:.1f} % of {other}'


def _hold_out(check: DataCheck) -> Iterable[Finding]:
    source = check.source
    if source.kind == 'images':
        return
    held = [split for split in source.splits if split not in ('train', ALL)]
    if not held:
        yield Finding(
            'note', 'no split to validate on: a part of the images is held out of the training',
            f'to choose it yourself: {SPLITTER}',
        )  # fmt: skip
    for split in held:
        number = len(source.splits[split])
        boxes = sum(len(p.labels) for p in source.splits[split])
        is_small = bool(number) and is_coarse(number, boxes if source.has_boxes else None)
        if source.has_boxes and is_small:
            yield Finding(
                'warning', f'{split} has {_images(number)} and {boxes:,} boxes: an mAP on it is '
                'uncertain by several points',
                f'at least {MIN_IMAGES} images and {MIN_BOXES} boxes; or measure on folds of all: '
                f'{FOLDS}',
            )  # fmt: skip
        elif source.is_multi and is_small:
            yield Finding(
                'warning', f'{split} has {_images(number)}: an mAP on it is uncertain by several '
                'points', MORE_IMAGES,
            )  # fmt: skip
        elif number and not (source.has_boxes or source.is_multi):
            yield Finding(
                'warning' if is_small else 'note',
                f'{split} has {_images(number)}: an accuracy of 85 % on it has a standard error of '
                f'{standard_error(number):.1f} points, so that two networks that are tested once '
                f'have to differ by {told_apart(number):.1f} points',
                MORE_IMAGES if is_small else '',
            )  # fmt: skip


# ---- sizes and boxes -----------------------------------------------------------------------------


def _sizes(check: DataCheck) -> Iterable[Finding]:
    pictures, looks = check.source.pictures, check.looks
    seen = [i for i, look in enumerate(looks) if look.problem is None]
    shorter = {i: min(looks[i].width, looks[i].height) for i in seen}
    small = [i for i in seen if shorter[i] < SMALL_SIDE]
    large = [i for i in seen if looks[i].width * looks[i].height > LARGE_PIXELS]
    odd = [i for i in seen if max(looks[i].width, looks[i].height) > MAX_ASPECT * shorter[i]]

    def sized(places: list[int]) -> list[str]:
        return [
            f'{pictures[i].name} ({looks[i].width} x {looks[i].height})'
            for i in places[:MAX_EXAMPLES]
        ]

    mean = 'thumbnails among photographs?'
    if check.source.has_boxes:
        mean += ' mmdet leaves them out of a training'
    yield Finding(
        'note' if len(small) == len(seen) else 'warning',
        f'{_images(len(small))} with a side of less than {SMALL_SIDE} pixels',
        '' if len(small) == len(seen) else mean, len(small), sized(small), places=small,
    )  # fmt: skip
    yield Finding(
        'note', f'{_images(len(large))} of more than {LARGE_PIXELS / 1e6:.0f} million pixels',
        'a training is slow to read them: tools/prepare_images.py DIR NEW_DIR --size 512'
        if not check.source.has_boxes else 'a training is slow to read them', len(large),
        sized(large), places=large,
    )  # fmt: skip
    yield Finding(
        'note', f'{_images(len(odd))} more than {MAX_ASPECT:.0f} times as long as wide',
        'a square cut from them may miss the object', len(odd), sized(odd), places=odd,
    )  # fmt: skip


def _boxes(check: DataCheck) -> Iterable[Finding]:
    source, pictures = check.source, check.source.pictures
    if not source.has_boxes:
        return
    tiny, twice, many, bare = [], [], [], []
    for i, picture in enumerate(pictures):
        tiny += [i for box in picture.boxes if min(box.width, box.height) < TINY_BOX]
        twice += [i] * _num_twice(picture)
        many += [i] * (len(picture.boxes) > MANY_BOXES)
        bare += [i] * (not picture.boxes)
    for level, places, text, remedy in (
        ('warning', twice, 'box~ on top of another of the same class', 'remove one of each'),
        ('note', tiny, f'box~ of less than {TINY_BOX:.0f} pixels',
         'a detector hardly finds them: larger images, or leave them out'),
        ('note', many, f'image~ with more than {MANY_BOXES} boxes',
         'a detector gives 100 for an image: raise max_per_img of its test_cfg'),
        ('note', bare, 'image~ without a box',
         'background, if the config trains on them (filter_empty_gt=False); are they empty?'),
    ):  # fmt: skip
        once = list(dict.fromkeys(places))
        yield Finding(
            level, f'{len(places):,} {_plural(text, len(places))}', remedy, len(places),
            _names(pictures, once), places=once,
        )  # fmt: skip


def _plural(text: str, number: int) -> str:
    ending = '' if number == 1 else 'es' if text.startswith('box') else 's'
    return text.replace('~', ending)


def _num_twice(picture: Picture) -> int:
    """How many boxes lie on an earlier one of their class."""
    by_class, count = defaultdict(list), 0
    for box in picture.boxes:
        same = by_class[box.label]
        count += any(_iou(box, other) >= SAME_BOX for other in same)
        same.append(box)
    return count


def _iou(a: tuple, b: tuple) -> float:
    w = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    h = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    if w <= 0 or h <= 0:
        return 0.0
    return w * h / (a.width * a.height + b.width * b.height - w * h)
