"""Files and folders that systems and tools leave among a user's images."""

from collections.abc import Iterable

# In lower case. Beside these, every name that begins with a dot: .DS_Store, .ipynb_checkpoints,
# ._photo.jpg of macOS on other file systems, .Trash-1000, .git.
_NAMES = frozenset((
    '__macosx', '__pycache__', 'icon\r',  # macOS, Python
    'thumbs.db', 'ehthumbs.db', 'ehthumbs_vista.db', 'desktop.ini',  # Windows
    '$recycle.bin', 'recycler', 'system volume information',
    'lost+found',  # Linux
    'work_dirs',  # runs of OpenMMLab's tools, with drawn images and files of boxes
    '@eadir', '#recycle', '#snapshot', '@recycle', '@recently-snapshot', '@tmp',  # storage servers
))  # fmt: skip


def is_system(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or one of a system's.

    >>> [is_system(name) for name in ('.DS_Store', '._x.jpg', '@eaDir', 'Thumbs.db', 'ant', '_x')]
    [True, True, True, True, False, False]
    """
    return name.startswith('.') or name.lower() in _NAMES


def without_system(names: Iterable[str]) -> list[str]:
    """Those of the names that are none of a system's."""
    return [name for name in names if not is_system(name)]
