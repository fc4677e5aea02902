"""What a config's images lie in: folders of classes, or a table of labels."""

from collections.abc import Mapping
from pathlib import Path
from shlex import quote

from ..datasets.folder_listing import (
    ITSELF,
    VAL_NAMES,
    find_folder,
    folders_in,
    layout,
    list_classes,
    list_folder,
)
from ..datasets.label_set import LabelSet
from ..datasets.label_table import read_label_table
from ..registry import kind_of


class ClassFolders:
    """One folder per class below a root; what a :class:`LabelSet` answers, too."""

    is_multi = False

    def __init__(self, root: str):
        self.root = root

    def find(self, asked: str) -> str:
        """The folder that stands for another one; see :func:`find_folder`."""
        return find_folder(self.root, asked)

    def names(self) -> list[str]:
        """All folders."""
        return folders_in(self.root)

    def has(self, folder: str) -> bool:
        """Whether there is such a folder."""
        return Path(self.root, folder).exists()

    def where(self, folder: str) -> str:
        """A folder in words."""
        return str(Path(self.root, folder))

    def classes_of(self, folder: str) -> list[str]:
        """Sorted names of its classes."""
        return list_classes(self.root, folder)

    def files(self, folder: str) -> dict[str, list[str]]:
        """Names of its images by class, below the folder of the class."""
        return list_folder(self.root, folder)

    def path(self, folder: str, name: str, file: str) -> Path:
        """Where an image of :meth:`files` lies."""
        return Path(self.root, folder, name, file)

    def missing(self, folder: str) -> str:
        """That the folder is not there, and how images are laid out."""
        return layout(self.root, folder)

    def no_validation(self) -> tuple[str, str]:
        """That there is none to validate on, and how to choose one."""
        lacks = f'{self.root} has no folder val (nor {", ".join(VAL_NAMES[1:3])}, ...)'
        if self.find('train') == ITSELF:  # a folder val beside the classes would be one of them
            return lacks, f'python tools/check_data.py {quote(self.root)} --split 0.1 --apply copy'
        return lacks, f'move them to {Path(self.root, "val")}/<class>'


def listing_of(dataset: Mapping) -> ClassFolders | LabelSet:
    """What a data set of images lies in.

    Raises:
        OSError, ValueError: Of a table, as :func:`read_label_table`.
    """
    if kind_of(dataset) == 'LabelledImages':
        options = (dataset.get(key) for key in ('multi_label', 'label_column'))
        return read_label_table(dataset['data_root'], *options)
    return ClassFolders(dataset['data_root'])
