"""Opens a search that was trained, to rate paths of its supernet."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmengine.config import Config
from mmengine.registry import LOOPS as MMENGINE_LOOPS

from ..config import load_config

if TYPE_CHECKING:
    from ..engine import SearchLoop


def search_config(config: str, options: dict | None = None) -> Config:
    """Read the config of a search.

    Raises:
        FileNotFoundError: If the file or its data is missing.
        ValueError: If its test loop is no :class:`SearchLoop`. Of another one that ends a search,
            its attribute ``instead`` tells what to do.
    """
    cfg = load_config(config, options)
    from ..engine import SearchLoop  # after the config: it takes long

    kind = (cfg.get('test_cfg') or {}).get('type')
    kind = MMENGINE_LOOPS.get(kind) if isinstance(kind, str) else kind
    if not (isinstance(kind, type) and issubclass(kind, SearchLoop)):
        if instead := getattr(kind, 'instead', None):
            raise ValueError(f'{config} searches by {kind.__name__}, not by whole paths: {instead}')
        raise ValueError(f'{config} is not the config of a search: its test_cfg is no SearchLoop')
    return cfg


@contextmanager
def open_search(
    config: str,
    checkpoint: str,
    work_dir: str,
    options: dict | None = None,
    loop_options: Mapping[str, Any] | None = None,
) -> Iterator['SearchLoop']:
    """Load a supernet; the loop has the model, and makes the evaluator of its paths.

    Args:
        config (str): The search's config file.
        checkpoint (str): A checkpoint of the search.
        work_dir (str): For logs, and for ``ratings.jsonl``.
        options (dict, optional): Overrides, as from ``--cfg-options``.
        loop_options (Mapping, optional): Arguments of the loop in place of the config's.

    Raises:
        FileNotFoundError: If a file or the data is missing.
        ValueError: If the config is no search, or the checkpoint is of another model.
    """
    cfg = search_config(config, options)
    if not Path(checkpoint).is_file():
        raise FileNotFoundError(f'no checkpoint {checkpoint}')
    cfg.work_dir = str(work_dir)
    cfg.load_from = str(checkpoint)
    for name, value in (loop_options or {}).items():
        cfg.test_cfg[name] = value  # update() would add what the config's strategy is given
    from ..engine import Runner
    from ..engine.screen import rest_to_file

    runner = Runner.from_cfg(cfg)
    runner.whole_weights = True
    with rest_to_file(runner.logger):
        loop = runner.test_loop
        # What Runner.test does around a loop.
        runner.call_hook('before_run')
        runner.load_or_resume()
        yield loop
        runner.call_hook('after_run')
