"""Reads checkpoints without running anything that is in them."""

import math
import pickle
import tarfile
import types
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch


class _Placeholder:
    """Stands for an object of a class that is not loaded; takes any arguments and items."""

    def __new__(cls, *args, **kwargs):
        return super().__new__(cls)

    def __init__(self, *args, **kwargs):
        pass

    def __call__(self, *args, **kwargs):
        return self

    def __setitem__(self, key, value):
        pass

    def append(self, value):
        pass

    def extend(self, values):
        pass


class _UntypedStorage(_Placeholder):
    """Stands for torch's class, which would allocate what it is called with."""


def _tensor(storage, offset, size, stride, requires_grad=False, hooks=None, metadata=None):
    """A tensor over a storage of the file; hooks and gradients stay behind."""
    if metadata:
        raise ValueError('it holds a tensor that is negated or conjugated in place')
    # With a stride of 0, any number of elements lies within a storage of one.
    if len(size) > 64 or math.prod(size) > _numel(storage):
        raise ValueError(f'a tensor of size {list(size)[:8]} is larger than its data')
    empty = torch.empty(0, dtype=storage.dtype)
    return empty.set_(storage._untyped_storage, offset, tuple(size), tuple(stride))


def _numel(storage) -> int:
    return storage._untyped_storage.nbytes() // torch._utils._element_size(storage.dtype)


def _parameter(data, requires_grad=True, hooks=None):
    return data


# What a file of tensors needs. Everything else becomes an inert placeholder.
_KNOWN = {
    ('collections', 'OrderedDict'): OrderedDict,
    ('torch', 'Size'): torch.Size,
    ('torch', 'UntypedStorage'): _UntypedStorage,
    ('torch.storage', 'UntypedStorage'): _UntypedStorage,
    ('torch._utils', '_rebuild_parameter'): _parameter,
    ('torch._utils', '_rebuild_tensor'): _tensor,
    ('torch._utils', '_rebuild_tensor_v2'): _tensor,
    ('torch.nn.parameter', 'Parameter'): _parameter,
}


_MAX_NESTING = 10_000  # tuples inside a tuple, each counted as often as it is reached
_MAX_DEPTH = 100  # of containers; a checkpoint has about ten
_MAX_ITEMS = 1_000_000  # of containers, each counted as often as it is reached
_CONTAINERS = (dict, list, tuple, set, frozenset)


class _Unpickler(pickle._Unpickler):
    """pickle's unpickler in its Python form: from the C form no instruction can be taken out."""

    dispatch = dict(pickle._Unpickler.dispatch)
    file_size = 0  # bytes
    record_sizes: dict[str, int] | None = None  # of a zip file, by key of the storage

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._claimed: dict[str, int] = {}  # bytes of each storage
        self._total = 0  # of them
        self._nesting: dict[int, int] = {}  # by id of the tuple

    def find_class(self, module: str, name: str) -> Any:
        # torch itself answers for storages of a dtype, such as FloatStorage, before this.
        if module == 'torch' and isinstance(dtype := getattr(torch, name, None), torch.dtype):
            return dtype
        return _KNOWN.get((module, name), _Placeholder)

    def load_build(self) -> None:
        """Drop an object's state.

        BUILD sets attributes of whatever it is given, functions and classes included. With a
        forged ``__name__`` and ``dump_patches`` on one of those, torch's loader of old files
        writes a "patch" to any path.
        """
        self.stack.pop()

    dispatch[pickle.BUILD[0]] = load_build

    def load_binpersid(self) -> None:
        """Refer to a storage: only to one that the file has room for."""
        pid = self.stack[-1]
        if isinstance(pid, tuple) and len(pid) >= 5 and pid[0] in ('storage', b'storage'):
            kind, key, numel = pid[1], pid[2], pid[4]
            if kind is _UntypedStorage:
                kind = torch.UntypedStorage
                self.stack[-1] = (pid[0], kind, *pid[2:])
            dtype = torch.uint8 if kind is torch.UntypedStorage else kind.dtype
            if type(numel) is not int or numel < 0:
                raise ValueError(f'a storage has {str(numel)[:20]!r} elements')
            size = numel * torch._utils._element_size(dtype)
            self._total += size - self._claimed.get(key, 0)
            self._claimed[key] = size
            room = (self.record_sizes or {}).get(key, self.file_size)
            # The total too: records may overlap, and an old file may name any number of storages.
            if size > room or self._total > self.file_size:
                raise ValueError(f'storage {key} claims {numel} elements, more than the file holds')
        super().load_binpersid()

    dispatch[pickle.BINPERSID[0]] = load_binpersid

    def _weigh(self) -> None:
        """Bound how deeply tuples nest: hashing one recurses on the C stack, without a limit."""
        top = self.stack[-1]
        inner = sum(self._nesting.get(id(item), 1) for item in top if type(item) is tuple)
        if inner >= _MAX_NESTING:
            raise ValueError('it nests too deeply')
        self._nesting[id(top)] = 1 + inner

    def load_tuple(self) -> None:
        super().load_tuple()
        self._weigh()

    def load_tuple1(self) -> None:
        super().load_tuple1()
        self._weigh()

    def load_tuple2(self) -> None:
        super().load_tuple2()
        self._weigh()

    def load_tuple3(self) -> None:
        super().load_tuple3()
        self._weigh()

    dispatch[pickle.TUPLE[0]] = load_tuple
    dispatch[pickle.TUPLE1[0]] = load_tuple1
    dispatch[pickle.TUPLE2[0]] = load_tuple2
    dispatch[pickle.TUPLE3[0]] = load_tuple3


def _safe_pickle(path: str, record_sizes: dict[str, int] | None) -> types.ModuleType:
    """A pickle module for torch.load, for this one file."""
    sizes = dict(file_size=Path(path).stat().st_size, record_sizes=record_sizes)
    module = types.ModuleType('cream_mm_safe_pickle')
    module.Unpickler = type('_Unpickler', (_Unpickler,), sizes)
    module.load = lambda file, **kwargs: module.Unpickler(file, **kwargs).load()
    return module


def _refuse_archives(path: str) -> dict[str, int] | None:
    """Formats that torch.load hands to other loaders, which heed no unpickler of ours.

    Returns:
        dict[str, int] | None: Of a zip file, the bytes of each storage by its key.

    Raises:
        ValueError: If ``path`` is a TorchScript archive or a tar file, or is compressed: torch
            writes none such, and a small one can hold any amount.
    """
    with open(path, 'rb') as file:
        is_zip = file.read(4) == b'PK\x03\x04'
    if is_zip:
        # The reader that torch.load will use: another one might see other records.
        records = torch._C.PyTorchFileReader(path).get_all_records()
        if 'constants.pkl' in records:
            raise ValueError(
                'it is a TorchScript program; save the state_dict of the model instead'
            )
        with zipfile.ZipFile(path) as archive:
            entries = {e.filename.partition('/')[2]: e for e in archive.infolist()}
        if set(entries) != set(records):
            raise ValueError('its list of records is ambiguous')
        if any(e.compress_type != zipfile.ZIP_STORED for e in entries.values()):
            raise ValueError('it is compressed; unpack it and zip it without compression')
        if sum(e.file_size for e in entries.values()) > Path(path).stat().st_size:
            raise ValueError('its records claim more than the file holds')
        return {
            name.removeprefix('data/'): entry.file_size
            for name, entry in entries.items()
            if name.startswith('data/')
        }
    try:
        tarfile.open(path, 'r:').close()
    except tarfile.TarError:
        return None
    raise ValueError('it is a tar archive; unpack it, or save the file with a current torch')


def load_checkpoint_file(path: str | Path) -> dict[str, Any]:
    """The dictionary in a checkpoint, on the CPU; objects other than tensors are placeholders.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a checkpoint, is damaged, or claims more than it holds.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'no checkpoint {path}')
    try:
        pickle_module = _safe_pickle(str(path), _refuse_archives(str(path)))
        content = torch.load(
            path, map_location='cpu', pickle_module=pickle_module, weights_only=False
        )
    except Exception as error:  # anything can be wrong with bytes from outside
        reason = str(error).split('\n')[0] or type(error).__name__
        if isinstance(error, KeyError):  # of a text or an image: a byte that is no code
            reason = 'it is not written as one'
        raise ValueError(
            f'{path} is not a readable checkpoint, but {_what_it_is(path)}: {reason}'
        ) from None
    if not isinstance(content, dict):
        raise ValueError(f'{path} is not a checkpoint: it holds no dictionary')
    try:
        check_nesting(content)
    except ValueError as error:
        raise ValueError(f'{path} is not a readable checkpoint: {error}') from None
    return content


def _what_it_is(path: str | Path) -> str:
    """What lies there in the place of a checkpoint, and what to do."""
    with open(path, 'rb') as file:
        begin = file.read(200).lstrip().lower()
    if not begin:
        return 'empty; fetch it again'
    if begin.startswith((b'<!doctype', b'<html', b'<?xml', b'<head')):
        return 'a web page that was saved under its name; fetch the file itself'
    if begin.startswith(b'version https://git-lfs'):
        return 'a pointer of Git LFS; "git lfs pull" fetches the file itself'
    if begin.startswith(b'pk\x03\x04'):
        return 'damaged: half a download, perhaps; fetch it again'
    return 'damaged or not from torch'


def check_nesting(content: Any) -> None:
    """See that a nested content of a file can be walked.

    A list may hold another one twice, and that one a third: 2 kB of a file are then 2**100 items
    to whoever walks them. It may also hold itself. Here each container is looked at once.

    Args:
        content (Any): Dictionaries, lists, tuples and sets of anything.

    Raises:
        ValueError: If it nests more than 100 deep or without an end; or if it has, each item
            counted as often as it is reached, more than a million and more than four times as many
            as the file holds.
    """
    sizes: dict[int, int] = {}  # by id: items, each as often as it is reached
    depths: dict[int, int] = {}
    held = 0  # items of all containers, each container once
    unfinished: set[int] = set()
    stack = [content]
    while stack:
        node = stack[-1]
        if id(node) in sizes:
            stack.pop()
            continue
        values = node.values() if isinstance(node, dict) else node
        inner = [value for value in values if isinstance(value, _CONTAINERS)]
        if id(node) not in unfinished:
            unfinished.add(id(node))
            stack += [value for value in inner if id(value) not in sizes]
            if any(id(value) in unfinished for value in inner):
                raise ValueError('it holds a list that holds itself')
            continue
        stack.pop()
        unfinished.discard(id(node))
        held += len(node)
        sizes[id(node)] = len(node) + sum(sizes[id(value)] for value in inner)
        depths[id(node)] = 1 + max((depths[id(value)] for value in inner), default=0)
        if depths[id(node)] > _MAX_DEPTH:
            raise ValueError(f'its lists nest more than {_MAX_DEPTH} deep')
    if sizes[id(content)] > max(_MAX_ITEMS, 4 * held):
        raise ValueError('its lists hold each other so often that nobody can walk them')
