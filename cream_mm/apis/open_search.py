"""Opens a search that was trained, to rate paths of its supernet."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..config.load import load_config
from ..engine.loops import BoardRatingLoop
from ..engine.runner import Runner


@contextmanager
def open_search(
    config: str, checkpoint: str, work_dir: str, options: dict | None = None
) -> Iterator[BoardRatingLoop]:
    """Load a supernet; the loop has the model, and makes the evaluator of its paths.

    Args:
        config (str): The search's config file.
        checkpoint (str): A checkpoint of the search.
        work_dir (str): For logs, and for ``ratings.jsonl``.
        options (dict, optional): Overrides, as from ``--cfg-options``.

    Raises:
        FileNotFoundError: If a file or the data is missing.
        ValueError: If the config is no search, or the checkpoint is of another model.
    """
    cfg = load_config(config, options)
    if not str((cfg.get('test_cfg') or {}).get('type', '')).endswith('BoardRatingLoop'):
        raise ValueError(f'{config} is not the config of a search: it has no BoardRatingLoop')
    if not Path(checkpoint).is_file():
        raise FileNotFoundError(f'no checkpoint {checkpoint}')
    cfg.work_dir = str(work_dir)
    cfg.load_from = str(checkpoint)
    runner = Runner.from_cfg(cfg)
    runner.whole_weights = True
    loop = runner.test_loop
    # What Runner.test does around a loop.
    runner.call_hook('before_run')
    runner.load_or_resume()
    yield loop
    runner.call_hook('after_run')
