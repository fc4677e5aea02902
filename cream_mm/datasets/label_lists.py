"""Labels as fields of a table: one, or a list of several; and the order of classes."""

import re
from collections.abc import Iterable, Sequence

_BRACKETS = re.compile(r'\[(.*)\]|\{(.*)\}|\((.*)\)', re.S)


def list_separator(
    fields: Iterable[str], *, is_plural: bool = False, multi_label: bool | None = None
) -> str | None:
    """What separates labels in the fields of a column; None where each field is one label.

    A bar or a semicolon always does. A comma does where it makes fewer labels than there are
    fields, as when two of them are put together in several ways; so does a blank, where besides
    the column's name is a plural or its labels are numbers, and fields have different numbers of
    labels. Names such as "tench, Tinca tinca" stay one label.

    Args:
        fields (Iterable[str]): All fields of the column.
        is_plural (bool): Whether the column's name is one. Defaults to False.
        multi_label (bool, optional): What the user says.

    >>> list_separator(['cat|dog', 'dog'])
    '|'
    >>> list_separator(['tench, Tinca tinca', 'goldfish, Carassius auratus'])
    """
    if multi_label is False:
        return None
    known = {field for field in fields if field}
    if known and all(_BRACKETS.fullmatch(field) for field in known):
        return ','
    for separator in '|;, ':
        if not any(separator in field for field in known):
            continue
        lists = [_parts(field, separator) for field in known]
        parts = {part for labels in lists for part in labels}
        if separator in '|;' or separator == ',' and multi_label:
            return separator
        if len(parts) >= len(known):
            continue
        varies = len(set(map(len, lists))) > 1
        is_told = multi_label or is_plural or all(part.isdigit() for part in parts)
        if separator == ',' or varies and is_told:
            return separator
    return None


def split_labels(field: str, separator: str | None) -> tuple[str, ...]:
    """The labels of a field, each once.

    >>> split_labels("['cat', 'dog']", ','), split_labels('cat', None), split_labels('', '|')
    (('cat', 'dog'), ('cat',), ())
    """
    if separator is None:
        return (field,) if field else ()
    return tuple(dict.fromkeys(_parts(field, separator)))


def _parts(field: str, separator: str) -> list[str]:
    if match := _BRACKETS.fullmatch(field):
        field = next(filter(None, match.groups()), '')
    parts = (part.strip().strip('\'"').strip() for part in field.split(separator))
    return [part for part in parts if part]


def sort_classes(names: Iterable[str], columns: Sequence[str] = ()) -> list[str]:
    """Classes in the order of their columns where each has one, else by number or by name.

    >>> sort_classes(['10', '9']), sort_classes(['b', 'a']), sort_classes(['b', 'a'], ['b', 'a'])
    (['9', '10'], ['a', 'b'], ['b', 'a'])
    """
    names = set(names)
    if names <= set(columns):
        return [name for name in columns if name in names]
    if all(re.fullmatch(r'-?\d+', name) for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def name_classes(classes: Sequence[str], names: Sequence[str]) -> tuple[list[str], str] | None:
    """Classes that a table has as numbers, by the names that a file lists; None if it fits not.

    Args:
        classes (Sequence[str]): As the table has them, sorted.
        names (Sequence[str]): Lines of that file.

    Returns:
        tuple[list[str], str]: The names, and which number stands for the first of them.
    """
    if not classes or len(set(names)) < len(names) or not all(c.isdigit() for c in classes):
        return None
    numbers = list(map(int, classes))
    # Numbers from 1 use the last one, which numbers from 0 have not.
    first = 1 if numbers[0] > 0 and numbers[-1] == len(names) else 0
    if numbers[-1] - first >= len(names) or len(set(numbers)) < len(numbers):
        return None
    return [names[number - first] for number in numbers], str(first)
