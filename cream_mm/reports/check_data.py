"""Looks at a data set before anyone trains on it, and splits it where that is asked for."""

import os
import sys
import time
from collections.abc import Callable, Sequence

from ..datasets.data_check import DataCheck, check_source
from ..datasets.data_source import ALL, DataSource, open_source
from ..datasets.set_kind import KINDS
from ..files.progress import Progress

MIN_SECONDS = 0.5  # between two lines of progress on a screen


def check_data(
    root: str | os.PathLike, kind: str | None = None, *, shows_progress: bool = False
) -> DataCheck:
    """Read a set, look at each of its pictures, and say what is found.

    What its reader refuses becomes an error among the findings; the pictures are looked at all the
    same.

    Args:
        root (str): Folder of the set.
        kind (str, optional): How it is read, one of ``set_kind.KINDS``. Defaults to what it is.
        shows_progress (bool): Whether a line on stderr says how far it is. Defaults to False.

    Raises:
        FileNotFoundError: If there is no such folder, or no set in it.
        ValueError: If there is no such kind.
    """
    source = _opened(os.fspath(root), kind)
    step = _step(len(source.pictures)) if shows_progress and source.has_files else None
    check = check_source(source, step)
    if step is not None and sys.stderr.isatty():
        print('\r\033[K', end='', file=sys.stderr, flush=True)
    return check


def _opened(root: str, kind: str | None) -> DataSource:
    try:
        return open_source(root, kind)
    except (OSError, ValueError) as error:
        if not os.path.isdir(root) or kind not in (None, *KINDS):
            raise
        refusal = error
    try:
        source = open_source(root, 'images')
    except (OSError, ValueError):
        raise refusal from None
    if not source.pictures:
        raise refusal
    source.evidence = 'pictures alone, as the labels cannot be read'
    source.errors.insert(0, str(refusal.args[-1] if refusal.args else refusal))
    return source


def _step(total: int) -> Callable[[], None]:
    """Counts pictures, and says now and then how many are done and how long the rest takes."""
    progress, last = Progress(total), time.time()
    is_screen = sys.stderr.isatty()
    every = MIN_SECONDS if is_screen else 20 * MIN_SECONDS
    before, after = ('\r\033[K', '') if is_screen else ('', '\n')

    def step() -> None:
        nonlocal last
        count = progress.step()
        if time.time() - last >= every:
            last = time.time()
            print(f'{before}{count} {progress.eta}', end=after, file=sys.stderr, flush=True)

    return step


def divide(
    check: DataCheck,
    *,
    share: float | None = None,
    folds: int | None = None,
    seed: int = 0,
    keep_test: bool = False,
) -> list[dict[str, list[int]]]:
    """Split a set anew, or into folds: stratified, copies of one picture on one side.

    All its splits are put together first. Pictures that cannot be read are left out.

    Args:
        check (DataCheck): Of the set.
        share (float, optional): Of the pictures, that is held out; or
        folds (int, optional): so many splits, in each of which another part is held out.
        seed (int): Of the split. Defaults to 0.
        keep_test (bool): The test set stays as it is. Defaults to False.

    Returns:
        list[dict[str, list[int]]]: Of the one split or of each fold, 'train', 'val' and, where it
        stays, 'test': positions in the set.

    Raises:
        ValueError: If there are no labels, too few pictures, or an argument is out of range.
    """
    from ..datasets.split import fold_of, split_off  # here: it imports torch, a look needs none

    source, splits = check.source, check.source.split_names
    if not source.classes:
        raise ValueError(f'{source.root} has no labels to split by')
    if keep_test and 'test' not in source.splits:
        raise ValueError(f'{source.root} has no test set to keep')
    readable = [i for i, look in enumerate(check.looks) if look.problem is None]
    if not check.looks:
        readable = list(range(len(splits)))
    test = [i for i in readable if keep_test and splits[i] == 'test']
    items = [i for i in readable if not (keep_test and splits[i] == 'test')]
    first = check.copies.groups(len(splits))
    # A copy of a picture of the test set would be trained on.
    tested = {first[i] for i in test}
    items = [i for i in items if first[i] not in tested]
    pictures = source.pictures
    labels, groups = [pictures[i].labels for i in items], [first[i] for i in items]
    if folds is not None:
        numbers = fold_of(labels, folds, seed=seed, groups=groups)
        held = [[i for i, n in zip(items, numbers) if n == fold] for fold in range(folds)]
    else:
        held = [[items[i] for i in split_off(labels, share, seed=seed, groups=groups)]]
    found = []
    for val in held:
        out = set(val)
        part = dict(train=[i for i in items if i not in out], val=val)
        found.append({**part, 'test': test} if keep_test else part)
    return found


def split_lines(check: DataCheck, parts: Sequence[dict[str, list[int]]]) -> list[str]:
    """Lines for the user about :func:`divide`'s splits."""
    source = check.source
    before = [name for name in source.splits if name != ALL]
    kept = 'test' in parts[0]
    pooled = [name for name in before if not (kept and name == 'test')]
    lines = []
    if len(pooled) > 1:
        lines.append(f'{", ".join(pooled)} are put together and split anew')
    used = {i for part in parts for places in part.values() for i in places}
    if left := len(source.pictures) - len(used):
        lines.append(
            f'{left} of {len(source.pictures)} pictures are left out: they cannot be read'
            + (', or are copies of pictures of the test set' if kept else '')
        )
    for number, part in enumerate(parts):
        name = f'fold {number}: ' if len(parts) > 1 else ''
        lines.append(name + ', '.join(f'{split} {len(places)}' for split, places in part.items()))
    return lines
