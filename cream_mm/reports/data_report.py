"""What a look at a data set found: as text for a terminal, as JSON, and as one HTML page."""

import textwrap
from pathlib import Path

import jinja2
import numpy as np

from ..datasets.data_check import LEVELS, DataCheck, Finding
from ..datasets.data_source import ALL, Picture
from ..datasets.picture_look import Look
from ..files import shorten, write_whole
from .data_figures import draw_boxes, draw_classes, draw_sizes
from .style import PAGE_COLORS
from .thumbnail import thumbnail

FORMAT = 'cream_mm.data_check/1'
MAX_ROWS = 24  # classes in the text
MAX_GROUPS, MAX_IN_GROUP = 24, 4  # copies that are shown side by side
MAX_SAMPLES, PER_CLASS = 240, 6  # pictures that are shown
MAX_NAMES = 200  # of a finding
THUMB = 168  # pixels, the longer side
SCENE = 360  # the same of a picture with boxes
BOX_COLORS = (
    '#e6550d',
    '#3182bd',
    '#31a354',
    '#756bb1',
    '#d6318b',
    '#b8860b',
    '#17a2a2',
    '#c0392b',
)


class DataReport:
    """The findings of a check, for people and for programs.

    Args:
        check (DataCheck): Of the set.
    """

    def __init__(self, check: DataCheck):
        self.check = check
        self.counts = check.counts()

    # ---- words -----------------------------------------------------------------------------------

    @property
    def headline(self) -> str:
        """``3,781 images of 10 classes in train, val and test``."""
        source = self.check.source
        number = len(source.pictures)
        text = f'{number:,} image{"s" * (number != 1)}'
        if source.has_boxes:
            boxes = sum(len(p.boxes) for p in source.pictures)
            text += f', {boxes:,} box{"es" * (boxes != 1)}'
        if source.classes:
            text += f' of {len(source.classes)} class{"es" * (len(source.classes) != 1)}'
        splits = [name for name in source.splits if name != ALL]
        if splits:
            text += ' in ' + ' and '.join(filter(None, (', '.join(splits[:-1]), splits[-1])))
        return text

    @property
    def verdict(self) -> str:
        """How many findings there are of each level."""
        levels = [finding.level for finding in self.check.findings]
        found = [(levels.count(level), level) for level in LEVELS]
        return ', '.join(f'{n} {level}{"s" * (n != 1)}' for n, level in found if n) or 'no finding'

    def to_text(self, width: int = 100) -> str:
        """For a terminal: the set, a table of its classes, the findings."""
        source = self.check.source
        lines = [f'{source.root}: {source.evidence}', self.headline, '']
        lines += self._table()
        for finding in self.check.findings:
            level = finding.level.upper() if finding.level != 'note' else 'note'
            start = f'{level:<8} '
            lines += textwrap.wrap(
                shorten(finding.text, 2000), width, initial_indent=start,
                subsequent_indent=' ' * 9, break_long_words=False, break_on_hyphens=False,
            )  # fmt: skip
            examples = [shorten(example, 300) for example in finding.examples]
            if sum(map(len, examples)) + 2 * len(examples) < width - 11:
                examples = [', '.join(examples)] if examples else []
            lines += [' ' * 11 + example for example in examples]
            if finding.remedy:
                lines += textwrap.wrap(
                    finding.remedy, width, initial_indent=' ' * 9 + '-> ',
                    subsequent_indent=' ' * 12, break_long_words=False, break_on_hyphens=False,
                )  # fmt: skip
        return '\n'.join([*lines, '', self.verdict])

    def _table(self) -> list[str]:
        source = self.check.source
        if not source.classes:
            return [f'  {split:<8} {len(p):>7,}' for split, p in source.splits.items()] + ['']
        totals = [sum(n) for n in zip(*self.counts.values())]
        order = list(range(len(source.classes)))
        left_out = max(0, len(order) - MAX_ROWS)
        if left_out:
            by_size = sorted(order, key=lambda k: -totals[k])
            head, tail = by_size[: MAX_ROWS - 8], by_size[-8:]
            order = [*head, None, *tail]
        names = {k: shorten(source.classes[k], 32) for k in order if k is not None}
        wide = max(10, *map(len, names.values()))
        head = 'boxes' if source.has_boxes else 'images'
        lines = [f'  {head:<{wide}}' + ''.join(f' {split:>9}' for split in self.counts)]
        for k in order:
            if k is None:
                lines.append(f'  ... {left_out} more classes')
                continue
            row = ''.join(f' {n[k]:>9,}' for n in self.counts.values())
            lines.append(f'  {names[k]:<{wide}}{row}')
        sums = ''.join(f' {sum(n):>9,}' for n in self.counts.values())
        lines.append(f'  {"all":<{wide}}{sums}')
        if source.has_boxes or source.is_multi:
            row = ''.join(f' {len(p):>9,}' for p in source.splits.values())
            lines.append(f'  {"(images)":<{wide}}{row}')
        return [*lines, '']

    def to_dict(self) -> dict:
        """Plain values for ``--json``."""
        source = self.check.source
        return dict(
            format=FORMAT, root=source.root, kind=source.kind, evidence=source.evidence,
            classes=source.classes, counts=self.counts,
            images={split: len(pictures) for split, pictures in source.splits.items()},
            has_boxes=source.has_boxes, is_multi=source.is_multi,
            findings=[
                dict(
                    level=f.level, text=f.text, remedy=f.remedy, count=f.count,
                    examples=f.examples, pictures=self._names(f),
                    groups=[[source.pictures[i].name for i in group] for group in f.groups],
                )
                for f in self.check.findings
            ],
        )  # fmt: skip

    def _names(self, finding: Finding) -> list[str]:
        pictures = self.check.source.pictures
        return [pictures[i].name for i in finding.places]

    # ---- the page --------------------------------------------------------------------------------

    def save(self, path: str | Path) -> Path:
        """Write the page.

        Raises:
            OSError: If it cannot be written.
        """
        write_whole(path, self.to_html().encode('utf-8', errors='replace'))
        return Path(path)

    def to_html(self) -> str:
        """The page as one text with no link to anything outside it."""
        env = jinja2.Environment(
            loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True,
            trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined,
        )  # fmt: skip
        source, check = self.check.source, self.check
        findings = [
            dict(
                level=f.level, text=f.text, remedy=f.remedy, examples=f.examples,
                names=self._names(f)[:MAX_NAMES] if len(f.places) > len(f.examples) else [],
                left=max(0, len(f.places) - MAX_NAMES),
            )
            for f in check.findings
        ]  # fmt: skip
        looks = [look for look in check.looks if look.problem is None]
        return env.get_template('data_report.html.j2').render(
            title=Path(source.root).absolute().name, root=source.root, evidence=source.evidence,
            headline=self.headline, verdict=self.verdict, findings=findings,
            same=self._same(), classes=draw_classes(check), sizes=draw_sizes(check),
            boxes=draw_boxes(check), has_boxes=source.has_boxes, size_line=_size_line(looks),
            samples=[] if source.has_boxes else self._samples(),
            scenes=self._scenes() if source.has_boxes else [],
            rows=self._rows(), splits=list(self.counts), colors=PAGE_COLORS,
        )  # fmt: skip

    def _rows(self) -> list[tuple[str, list[int]]]:
        names = self.check.source.classes
        return [(shorten(n), [c[k] for c in self.counts.values()]) for k, n in enumerate(names)]

    def _same(self) -> list[dict]:
        """Copies side by side, those with a warning first."""
        shown, pictures = [], self.check.source.pictures
        for finding in self.check.findings:
            for group in finding.groups:
                if len(shown) == MAX_GROUPS:
                    return shown
                items = [self._thumb(i) for i in group[:MAX_IN_GROUP]]
                if all(items):
                    more = len(group) - len(items)
                    names = [pictures[i].name for i in group[:MAX_IN_GROUP]]
                    text = finding.text.partition(' of pictures ')[2].split(',')[0]
                    shown.append(
                        dict(
                            level=finding.level, text=text, items=list(zip(items, names)), more=more
                        )
                    )
        return shown

    def _thumb(self, place: int, side: int = THUMB) -> str | None:
        picture = self.check.source.pictures[place]
        look = self.check.looks[place]
        return None if look.problem is not None else thumbnail(picture.path, side)

    def _samples(self) -> list[dict]:
        """Of each class a few pictures, at even distances through the set."""
        source, by_class = self.check.source, {}
        if not self.check.looks:
            return []
        for i, picture in enumerate(source.pictures):
            for k in picture.labels or ((-1,) if not source.classes else ()):
                by_class.setdefault(k, []).append(i)
        per_class = PER_CLASS if source.classes else 36
        shown, left = [], MAX_SAMPLES
        for k in sorted(by_class):
            places = by_class[k]
            picks = np.linspace(0, len(places) - 1, min(per_class, len(places))).round()
            items = [
                (uri, source.pictures[i].name)
                for i in (places[int(p)] for p in picks) if (uri := self._thumb(i))
            ]  # fmt: skip
            left -= len(items)
            shown.append(dict(
                name=shorten(source.classes[k]) if k >= 0 else 'pictures', items=items,
                number=len(places),
            ))  # fmt: skip
            if left <= 0:
                break
        return shown

    def _scenes(self, number: int = 36) -> list[dict]:
        """Pictures with their boxes: first of all, one of each class that is not shown yet."""
        source, looks = self.check.source, self.check.looks
        usable = [
            i for i, p in enumerate(source.pictures) if p.boxes and looks[i].problem is None
        ]  # fmt: skip
        counts = np.zeros(len(source.classes), int)
        for i in usable:
            np.add.at(counts, list(set(source.pictures[i].labels)), 1)
        chosen, seen = [], set()
        for k in np.argsort(counts, kind='stable'):
            if counts[k] and k not in seen and len(chosen) < number:
                having = [i for i in usable if k in source.pictures[i].labels]
                chosen.append(having[len(having) // 2])
                seen.update(source.pictures[chosen[-1]].labels)
        picks = np.linspace(0, len(usable) - 1, min(12, len(usable))).round().astype(int)
        chosen += [usable[p] for p in picks if usable[p] not in chosen]
        scenes = []
        for i in chosen[:number]:
            if uri := self._thumb(i, SCENE):
                scenes.append(_scene(source.pictures[i], looks[i], uri, source.classes))
        return scenes


def _scene(picture: Picture, look: Look, uri: str, classes: list[str]) -> dict:
    unit = max(look.width, look.height) / 100
    boxes = []
    for box in sorted(picture.boxes, key=lambda b: -b.width * b.height)[:200]:
        text = shorten(classes[box.label], 24)
        tag = (2.5 * len(text) + 2) * unit
        boxes.append(dict(
            x=round(box.x, 1), y=round(box.y, 1), w=round(box.width, 1), h=round(box.height, 1),
            color=BOX_COLORS[box.label % len(BOX_COLORS)], text=text, tag_w=round(tag, 1),
            tag_x=round(min(max(box.x, 0), max(look.width - tag, 0)), 1),
            tag_y=round(box.y - 5.2 * unit if box.y > 5.2 * unit else box.y, 1),
            is_crowd=box.is_crowd,
        ))  # fmt: skip
    return dict(
        uri=uri, width=look.width, height=look.height, unit=unit, boxes=boxes,
        # A crowd of small boxes is not covered with words.
        has_words=len(boxes) <= 15, name=picture.name,
    )  # fmt: skip


def _size_line(looks: list[Look]) -> str:
    if not looks:
        return ''
    sizes = np.array([(look.width, look.height) for look in looks])
    if len(np.unique(sizes, axis=0)) == 1:
        return f'All are {sizes[0, 0]} x {sizes[0, 1]} pixels.'
    (low_w, low_h), (high_w, high_h) = sizes.min(axis=0), sizes.max(axis=0)
    mid_w, mid_h = np.median(sizes, axis=0).astype(int)
    return (
        f'{low_w} to {high_w} pixels wide and {low_h} to {high_h} high; the median is {mid_w} x '
        f'{mid_h}.'
    )
