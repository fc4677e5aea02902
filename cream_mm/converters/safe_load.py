"""Reads checkpoints without running anything that is in them."""

import pickle
import types
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

# What a file of tensors needs. Everything else becomes an inert placeholder.
_ALLOWED = {
    ('collections', 'OrderedDict'),
    ('torch', 'Size'),
    ('torch._utils', '_rebuild_parameter'),
    ('torch._utils', '_rebuild_tensor'),
    ('torch._utils', '_rebuild_tensor_v2'),
    ('torch.nn.parameter', 'Parameter'),
    ('torch.storage', 'UntypedStorage'),
}


class _Placeholder:
    """Stands for an object of a class that is not loaded; takes any arguments and state."""

    def __new__(cls, *args, **kwargs):
        return super().__new__(cls)

    def __init__(self, *args, **kwargs):
        pass

    def __call__(self, *args, **kwargs):
        return self

    def __setstate__(self, state):
        pass

    def __setitem__(self, key, value):
        pass

    def append(self, value):
        pass

    def extend(self, values):
        pass


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        storage = module == 'torch' and name.endswith('Storage')
        dtype = module == 'torch' and isinstance(getattr(torch, name, None), torch.dtype)
        if (module, name) in _ALLOWED or storage or dtype:
            return super().find_class(module, name)
        return _Placeholder


_safe_pickle = types.ModuleType('cream_mm_safe_pickle')
_safe_pickle.Unpickler = _Unpickler
_safe_pickle.load = lambda file, **kwargs: _Unpickler(file, **kwargs).load()


def load_checkpoint_file(path) -> dict[str, Any]:
    """The dictionary in a checkpoint, on the CPU; objects other than tensors are placeholders.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a checkpoint, or is damaged.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'no checkpoint {path}')
    try:
        content = torch.load(
            path, map_location='cpu', pickle_module=_safe_pickle, weights_only=False
        )
    except Exception as error:  # anything can be wrong with bytes from outside
        raise ValueError(f'{path} is not a readable checkpoint: {error}') from None
    if not isinstance(content, dict):
        raise ValueError(f'{path} is not a checkpoint: it holds no dictionary')
    return content


def load_weights(path) -> dict[str, Tensor]:
    """The tensors of a checkpoint's ``state_dict``, or of the file if that is all it holds.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds no weights.
    """
    content = load_checkpoint_file(path)
    weights = content.get('state_dict', content)
    if isinstance(weights, dict):
        weights = {k: v for k, v in weights.items() if isinstance(v, Tensor)}
    if not isinstance(weights, dict) or not weights:
        raise ValueError(f'{path} holds no weights')
    return weights
