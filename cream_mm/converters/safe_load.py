"""Reads checkpoints without running anything that is in them."""

import pickle
import tarfile
import types
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .official import from_official, is_official


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


def _tensor(storage, offset, size, stride, requires_grad=False, hooks=None, metadata=None):
    """A tensor over a storage of the file; hooks and gradients stay behind."""
    if metadata:
        raise ValueError('it holds a tensor that is negated or conjugated in place')
    empty = torch.empty(0, dtype=storage.dtype)
    return empty.set_(storage._untyped_storage, offset, tuple(size), tuple(stride))


def _parameter(data, requires_grad=True, hooks=None):
    return data


# What a file of tensors needs. Everything else becomes an inert placeholder.
_KNOWN = {
    ('collections', 'OrderedDict'): OrderedDict,
    ('torch', 'Size'): torch.Size,
    ('torch', 'UntypedStorage'): torch.UntypedStorage,
    ('torch.storage', 'UntypedStorage'): torch.UntypedStorage,
    ('torch._utils', '_rebuild_parameter'): _parameter,
    ('torch._utils', '_rebuild_tensor'): _tensor,
    ('torch._utils', '_rebuild_tensor_v2'): _tensor,
    ('torch.nn.parameter', 'Parameter'): _parameter,
}


class _Unpickler(pickle._Unpickler):
    """pickle's unpickler in its Python form: from the C form no instruction can be taken out."""

    dispatch = dict(pickle._Unpickler.dispatch)

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


_safe_pickle = types.ModuleType('cream_mm_safe_pickle')
_safe_pickle.Unpickler = _Unpickler
_safe_pickle.load = lambda file, **kwargs: _Unpickler(file, **kwargs).load()


def _refuse_archives(path: str) -> None:
    """Formats that torch.load hands to other loaders, which heed no unpickler of ours.

    Raises:
        ValueError: If ``path`` is a TorchScript archive or a tar file.
    """
    with open(path, 'rb') as file:
        is_zip = file.read(4) == b'PK\x03\x04'
    # The reader that torch.load will use: another one might see other records.
    if is_zip and 'constants.pkl' in torch._C.PyTorchFileReader(path).get_all_records():
        raise ValueError('it is a TorchScript program; save the state_dict of the model instead')
    try:
        tarfile.open(path, 'r:').close()
    except tarfile.TarError:
        return
    raise ValueError('it is a tar archive; unpack it, or save the file with a current torch')


def load_checkpoint_file(path) -> dict[str, Any]:
    """The dictionary in a checkpoint, on the CPU; objects other than tensors are placeholders.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a checkpoint, or is damaged.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'no checkpoint {path}')
    try:
        _refuse_archives(str(path))
        content = torch.load(
            path, map_location='cpu', pickle_module=_safe_pickle, weights_only=False
        )
    except Exception as error:  # anything can be wrong with bytes from outside
        reason = str(error).split('\n')[0] or type(error).__name__
        raise ValueError(
            f'{path} is not a readable checkpoint; it is damaged, or not from torch: {reason}'
        ) from None
    if not isinstance(content, dict):
        raise ValueError(f'{path} is not a checkpoint: it holds no dictionary')
    return content


def load_weights(path) -> dict[str, Tensor]:
    """The tensors of a checkpoint's ``state_dict``, or of the file if that is all it holds.

    A checkpoint of the released Cream code is read too: its averaged weights where it has any,
    under cream_mm's names.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds no weights, or is an official one with tensors missing.
    """
    content = load_checkpoint_file(path)
    try:
        _, weights = pick_weights(content, 'state_dict_ema', 'state_dict')
        return from_official(weights)[0] if is_official(weights) else weights
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from None


def pick_weights(content: dict, *entries: str) -> tuple[str, dict[str, Tensor]]:
    """Name and tensors of the first entry that holds weights, or of the file itself.

    Raises:
        ValueError: If there are none.
    """
    bare = not any(entry in content for entry in entries)
    for entry in [None] if bare else entries:
        weights = content if bare else content.get(entry)
        if isinstance(weights, dict):
            weights = {k: v for k, v in weights.items() if isinstance(v, Tensor)}
            if weights:
                return entry or 'the file itself, a bare state dict', weights
    raise ValueError(f'it holds no weights, neither as {" nor as ".join(entries)} nor by itself')
