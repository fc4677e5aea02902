"""Checkpoints as files: whole or not there, checked, and made of plain values."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from mmengine.fileio import LocalBackend, register_backend
from mmengine.logging import HistoryBuffer, print_log
from torch import Tensor, float32, float64, from_numpy, int32, int64

from ..files import write_whole
from .safe_load import load_checkpoint_file

BACKEND = 'cream_mm.whole_file'

# The checksum is the comment at the end of the zip archive that torch.save writes: other readers
# pass over it, and unlike a file beside it no kill and no copy can part it from what it is of.
_MARK = b'cream_mm sha256 '
_COMMENT_SIZE = len(_MARK) + 64
_END_OF_ZIP = 22  # bytes of the last record, whose last two are the length of the comment


@register_backend(BACKEND, force=True)
class WholeFileBackend(LocalBackend):
    """mmengine's local files, written so that a kill leaves the old one or the new one."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        write_whole(filepath, seal(obj))

    def put_text(self, obj: str, filepath: str | Path, encoding: str = 'utf-8') -> None:
        write_whole(filepath, obj.encode(encoding))


def seal(content: bytes) -> bytes:
    """The archive with its checksum as comment; anything but a plain zip archive as it is."""
    if content[-_END_OF_ZIP:][:4] != b'PK\x05\x06' or content[-2:] != b'\0\0':
        return content
    body = memoryview(content)[:-2]
    digest = hashlib.sha256(body).hexdigest().encode()
    return b''.join([body, _COMMENT_SIZE.to_bytes(2, 'little'), _MARK, digest])


def check_whole(path: str | Path) -> None:
    """Compare a checkpoint with its checksum; without one, see whether it can be read.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged.
    """
    if not _matches_checksum(path):
        load_checkpoint_file(path)


def load_whole(path: str | Path) -> dict:
    """The content of a checkpoint that matches its checksum, or has none.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, or no checkpoint.
    """
    _matches_checksum(path)
    return load_checkpoint_file(path)


def _matches_checksum(path) -> bool:
    """False if it has none."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'no checkpoint {path}')
    tail = 2 + _COMMENT_SIZE
    with open(path, 'rb') as file:
        left = file.seek(0, 2) - tail
        file.seek(max(left, 0))
        comment = file.read()[2:]
        if left <= 0 or not comment.startswith(_MARK):
            return False
        file.seek(0)
        digest = hashlib.sha256()
        while left > 0 and (block := file.read(min(left, 2**22))):
            digest.update(block)
            left -= len(block)
    if digest.hexdigest().encode() != comment[len(_MARK) :]:
        raise ValueError(f'{path} is damaged: its content does not match its checksum')
    return True


def latest_checkpoint(work_dir: str | Path) -> Path | None:
    """The checkpoint to resume from: the last one, or the newest before it that is not damaged.

    Returns:
        Path | None: None if ``work_dir`` has no checkpoints.

    Raises:
        ValueError: If there are some, and all are damaged.
    """
    bad = []
    candidates, earlier = _candidates(Path(work_dir))
    for path in candidates:
        try:
            check_whole(path)
        except (OSError, ValueError) as error:
            bad.append(f'{error}')
            continue
        if bad:
            print_log(
                f'{"; ".join(bad)}. Resuming from the one before, {path}; the steps since then '
                'are run again',
                'current',
                level=30,
            )
        return path
    if bad:
        other = f'; {earlier[0]} is of an earlier run, to be resumed by name' if earlier else ''
        raise ValueError(
            f'cannot resume, no checkpoint in {work_dir} is whole: {"; ".join(bad)}. Remove '
            f'{"it" if len(bad) == 1 else "them"} and last_checkpoint to start from the beginning'
            f'{other}'
        )
    return None


def _candidates(work_dir: Path) -> tuple[list[Path], list[Path]]:
    """What may be resumed, best first, and checkpoints that are of an earlier run.

    First the file that ``last_checkpoint`` names, then those with lower numbers. Higher numbers
    are of an earlier run, unless what ``last_checkpoint`` names is of another folder and gone: then
    it says nothing about these, and they come last.
    """
    last = _named_as_last(work_dir)
    if last is None:
        return _numbered(work_dir), []
    if last.parent.absolute() == work_dir.absolute():
        is_lost, paths = False, _numbered(work_dir)
    else:  # checkpoints have a folder of their own, or had one
        is_lost = not _exists(last.is_file)
        paths = [*_numbered(work_dir), *_numbered(last.parent)]
    paths = [path for path in paths if path != last]
    kind, bound = _number(last)
    same_kind = [path for path in paths if kind in (None, _number(path)[0])]
    older = [path for path in same_kind if bound is None or _number(path)[1] < bound]
    if is_lost:
        return [last, *older, *(path for path in paths if path not in older)], []
    return [last, *older], [path for path in same_kind if path not in older]


def _named_as_last(work_dir: Path) -> Path | None:
    """The file that ``last_checkpoint`` names, in this folder if it is here.

    None if there is no such note, or nothing that could be a name is in it.
    """
    note = work_dir / 'last_checkpoint'
    if not note.is_file():
        return None
    with open(note, 'rb') as file:
        text = file.read(10_000).decode(errors='replace').strip()
    parts = Path(text).parts if text.isprintable() else ()
    if not parts or len(text) >= 4096 or max(len(part.encode()) for part in parts) > 255:
        return None  # no system can look it up
    here = work_dir / Path(text).name
    return here if _exists(here.is_file) else Path(text)  # the folder may have been moved


def _numbered(folder: Path) -> list[Path]:
    """Checkpoints with a number in their name, the highest first."""
    paths = folder.glob('*.pth') if _exists(folder.is_dir) else []
    found = [path for path in paths if _number(path)[0] is not None]
    return sorted(found, key=lambda path: _number(path)[1], reverse=True)


def _exists(question) -> bool:
    """What a path answers; False for one that the system cannot even look up."""
    try:
        return question()
    except (OSError, ValueError):  # a name that is too long; a folder that may not be read
        return False


def _number(path: Path) -> tuple[str | None, int | None]:
    """('epoch', 3) of ``epoch_3.pth``."""
    found = re.fullmatch(r'(epoch|iter)_(\d+)', path.stem)
    return (found[1], int(found[2])) if found else (None, None)


# ---- contents ----------------------------------------------------------------------------------


def to_plain(value: Any) -> Any:
    """The same in dictionaries, lists, tuples, numbers, strings and tensors.

    What is none of these is left out of a dictionary, and None in a list.
    """
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if value is None or isinstance(value, Tensor):
        return value
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Mapping):
        items = {k: to_plain(v) for k, v in value.items() if isinstance(k, (str, int, float))}
        return {k: v for k, v in items.items() if v is not None or value[k] is None}
    if isinstance(value, tuple):
        return tuple(to_plain(v) for v in value)
    if isinstance(value, (list, set, frozenset)):
        return [to_plain(v) for v in value]
    return None


def make_plain(checkpoint: dict) -> None:
    """Turn mmengine's objects in a checkpoint into values that :func:`restore` reads."""
    hub = checkpoint.get('message_hub')
    if isinstance(hub, dict):
        history = {k: v.data for k, v in hub['log_scalars'].items()}
        # Tensors: a list would make a Python object of each of millions of numbers.
        scalars = {
            k: dict(values=from_numpy(values.copy()), counts=from_numpy(counts.copy()))
            for k, (values, counts) in history.items()
        }
        info = to_plain(hub['runtime_info'])
        keys = {k: v for k, v in to_plain(hub['resumed_keys']).items() if k in {**scalars, **info}}
        hub = dict(log_scalars=scalars, runtime_info=info, resumed_keys=keys)
        checkpoint['message_hub'] = hub
    for key, value in checkpoint.items():
        if not key.endswith('state_dict'):  # those are tensors, and know their versions
            checkpoint[key] = to_plain(value)


def restore(content: dict) -> dict:
    """A loaded checkpoint as mmengine's Runner wants it, from plain values only.

    ``meta['config']`` is dropped: mmengine's ``Runner.resume`` would execute it.
    """
    content = to_plain(content)
    meta = content.get('meta')
    content['meta'] = meta = dict(meta) if isinstance(meta, dict) else {}
    meta.pop('config', None)
    hub = content.get('message_hub')
    parts = {}
    for name in ('log_scalars', 'runtime_info', 'resumed_keys'):
        part = hub.get(name) if isinstance(hub, dict) else None
        parts[name] = part if isinstance(part, dict) else {}
    buffers = {k: _history(v) for k, v in parts['log_scalars'].items()}
    parts['log_scalars'] = {k: v for k, v in buffers.items() if v is not None}
    known = {**parts['log_scalars'], **parts['runtime_info']}
    parts['resumed_keys'] = {k: True for k, v in parts['resumed_keys'].items() if v and k in known}
    content['message_hub'] = parts
    return content


def _history(value) -> HistoryBuffer | None:
    """None for what is not a history, such as mmengine's own object that was not loaded."""
    if not isinstance(value, dict):
        return None
    values, counts = value.get('values'), value.get('counts')
    for part in (values, counts):
        if not isinstance(part, Tensor) or part.dtype not in (float64, float32, int64, int32):
            return None
        if part.dim() != 1 or len(part) != len(values):
            return None
    return HistoryBuffer(values.numpy(), counts.numpy())
