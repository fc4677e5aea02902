"""Files of an earlier export in a folder that is exported to again: those of other weights go."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from .onnx_file import FORMAT, KEY, read_about

INT8, OPENVINO = 'model.int8.onnx', 'model.xml'
EXTRAS = {INT8: 'int8', OPENVINO: 'openvino'}
"""Files that an export writes where it is asked to, and where its record is of them."""
FAILED = ('model.failed.onnx', 'model.failed.int8.onnx', 'model.failed.xml')


def remove_earlier(
    folder: Path, record: Path, about: Mapping[str, Any], written: Collection[str] = ()
) -> dict[str, Any]:
    """Remove what earlier exports left that does not belong to the file to be written.

    That is every file that failed, and those of :data:`EXTRAS` whose metadata say anything else
    than ``about``: other weights, another size. Only files with metadata of ours are removed.

    Args:
        folder (Path): Of the export. What is removed is printed.
        record (Path): That of the earlier export.
        about (dict): What the new file says of itself.
        written (Collection[str]): Those of :data:`EXTRAS` that are written again: of these nothing
            is printed or kept in the record.

    Returns:
        dict: Of the record what it says of files that stay: ``checks``, and ``int8`` if that does.
    """
    about = json.loads(json.dumps({'format': FORMAT, **about}))
    kept: dict[str, Any] = {'checks': {}}
    said, removed = _read_record(record), []
    if said.get('about') != _without(about, 'format'):
        said = {}
    for name in (*FAILED, *EXTRAS):
        path = folder / name
        found = _about(path)
        if found is None:
            continue
        if name in EXTRAS and found == about:
            key = EXTRAS[name]
            old, new = (said, kept) if key == 'int8' else (said.get('checks', {}), kept['checks'])
            if name not in written and key in old:
                new[key] = old[key]
            continue
        files = [path, path.with_suffix('.bin')] if path.suffix == '.xml' else [path]
        for file in files:
            file.unlink(missing_ok=True)
        removed += [] if name in written else [file.name for file in files]
    if removed:
        print(f'{folder}: removed {", ".join(removed)} of an earlier export', flush=True)
    return kept


def _about(path: Path) -> dict[str, Any] | None:
    """What a file says of the one that it was made from; None if it is none of ours."""
    try:
        if path.suffix != '.xml':
            found = read_about(path)
        else:
            entry = ElementTree.parse(path).find(f'rt_info/{KEY}')
            found = json.loads(entry.get('value', '')) if entry is not None else None
    except (OSError, ValueError, ElementTree.ParseError):
        return None
    if not isinstance(found, dict):
        return None
    return _without(found, 'int8')


def _without(content: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {k: v for k, v in content.items() if k != key}


def _read_record(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
