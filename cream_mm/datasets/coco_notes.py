"""Lines about what was mended in an annotation file: of each kind how often, and where first."""

from collections.abc import Hashable, Iterator

from ..files.read import shorten

MAX_EXAMPLES = 3
# What is counted, what is odd about it, and what is made of it.
_KINDS = dict(
    encoding=('file', 'not plain UTF-8', 'read as its first bytes say'),
    text=('values', 'numbers or ids written as text', 'read as numbers'),
    category_name=('categories', 'names with blanks around them or no text', 'mended'),
    category_id=('categories', 'ids that are no whole numbers', 'all numbered anew from 1'),
    category_case=(
        'categories', 'names that differ in case alone from another, and have no box', 'left out'
    ),
    category_twice=('categories', 'names that stand twice', 'taken as one class'),
    image_id=('images', 'ids that are no whole numbers', 'all numbered anew from 1'),
    image_twice=('images', 'listed twice', 'taken as one, with the boxes of both'),
    file_name=('images', 'file names that are not those below the folder', 'found by their end'),
    size_missing=('images', 'no width and height', 'taken from the pictures'),
    size_wrong=('images', "width or height other than the picture's", 'taken from the picture'),
    unreadable=('images', 'no width and height, and no readable picture', 'left out'),
    orphan=('annotations', 'of images that the file does not list', 'left out'),
    nowhere=('annotations', 'neither a box nor a segmentation', 'left out'),
    box_missing=('annotations', 'no box, or an empty one', 'that of the segmentation is taken'),
    fractions=('annotations', 'boxes in shares of the image', 'multiplied by its width and height'),
    turned=('annotations', 'boxes of negative width or height', 'turned round'),
    empty=('annotations', 'boxes without width or height', 'left out'),
    outside=('annotations', 'boxes wholly outside the image', 'left out'),
    clipped=('annotations', 'boxes that reach outside the image', 'clipped'),
    thin=('annotations', 'boxes of less than a pixel', 'not trained on, but measured'),
    area=('annotations', 'no area above 0', 'computed from the segmentation or the box'),
    crowd=('annotations', 'no iscrowd', 'taken as 0'),
    all_crowd=('annotations', 'every box is marked as a crowd', 'iscrowd is taken as 0'),
    twice=('annotations', 'listed twice', 'taken once'),
    annotation_id=(
        'annotations', 'ids that are 0, missing, no whole numbers or not unique',
        'all numbered anew from 1',
    ),
)  # fmt: skip


_said: set[str] = set()


def first_time(line: str) -> bool:
    """Whether this process has not said a line yet; from now on it has."""
    is_new = line not in _said
    _said.add(line)
    return is_new


class Tally:
    """How often there was something of a kind, and where first."""

    def __init__(self):
        self._kinds: dict[Hashable, tuple[list[int], list[str]]] = {}

    def add(self, kind: Hashable, example: object = '', count: int = 1) -> None:
        """Take note of one, or of several alike."""
        number, examples = self._kinds.setdefault(kind, ([0], []))
        number[0] += count
        if len(examples) < MAX_EXAMPLES and example != '':
            examples.append(shorten(str(example), 120))

    def count(self, kind: Hashable) -> int:
        """How many there were of a kind."""
        return self._kinds[kind][0][0] if kind in self._kinds else 0

    def told(self) -> Iterator[tuple[Hashable, int, str]]:
        """Each kind, how many there were, and the first ones: `` (a, b, c, ...)``, or ''."""
        for kind, ([number], examples) in self._kinds.items():
            tail = ', ...' if number > len(examples) else ''
            yield kind, number, f' ({", ".join(examples)}{tail})' if examples else ''


class Notes(Tally):
    """What was mended in a file.

    Args:
        where (str): The file.
    """

    def __init__(self, where: str):
        super().__init__()
        self.where = where
        self.totals: dict[str, int] = {}  # how many images, annotations, categories there were

    def lines(self) -> list[str]:
        """One line of each kind.

        >>> notes = Notes('a.json')
        >>> notes.totals['annotations'] = 9
        >>> notes.add('crowd', 'annotation 5')
        >>> notes.lines()
        ['a.json: no iscrowd: 1 of 9 annotations, taken as 0 (annotation 5)']
        """
        found = []
        for kind, number, shown in self.told():
            things, problem, done = _KINDS[kind]
            total = f' of {self.totals[things]}' if things in self.totals else ''
            count = '' if things == 'file' else f'{number}{total} {things}, '
            found.append(f'{self.where}: {problem}: {count}{done}{shown}')
        return found
