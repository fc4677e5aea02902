"""What there is to see of a folder that holds a training and no search."""

from pathlib import Path
from typing import Any

from ..files.config_values import read_value
from ..files.errors_file import ERRORS_FILE


def instead_of_search(folder: Path) -> str | None:
    """A sentence for whoever wants a report on a training that is no search.

    The config that the run left there tells which it was; nothing of it is run.

    Returns:
        str | None: None where the config is that of a search, or does not tell.
    """
    configs = sorted(folder.glob('*.py'))
    model = _read(configs[0], 'model') if len(configs) == 1 else None
    if not isinstance(model, dict) or 'bn_dataset' in (_read(configs[0], 'test_cfg') or {}):
        return None
    if 'bbox_head' not in model and 'roi_head' not in model:
        return (
            f'{folder} holds a training and no search, and no {ERRORS_FILE}: validations of a '
            f'classifier with one label an image write it. "python tools/test.py {folder}" measures'
        )
    return (
        f'{folder} holds the training of a detector, which has no page of its own. "python '
        f'tools/test.py {folder} --show-dir {folder}/drawn" measures it, and draws what it finds; '
        f'"python tools/report.py SEARCH_DIR --detector {folder}" has its mAP curve and pictures '
        'beside the search of its backbone'
    )


def _read(config: Path, name: str) -> Any:
    try:
        return read_value(config, name)
    except (OSError, KeyError, ValueError):
        return None
