"""The process that measures for ``batch_size='auto'``: ``python -m cream_mm.apis.probe_batch``."""

import json
import sys
import tempfile
from pathlib import Path

from ..command_line import one_line_errors


def main(path: str) -> None:
    """Measure what a run would do.

    Args:
        path (str): A JSON file: ``config``, ``options``, ``amp``. ``batch_size``, ``why`` and
            ``tried`` are added to it.
    """
    from ..config.load import load_config
    from ..engine import Runner
    from ..engine.batch_probe import SMALLEST, probe_batch
    from ..engine.dry_run import leave_no_trace
    from ..files import write_json

    order = json.loads(Path(path).read_text())
    with tempfile.TemporaryDirectory(prefix='cream_mm-batch-') as folder:
        options = dict(order['options'], batch_size=SMALLEST, work_dir=folder)
        cfg = load_config(order['config'], options, writes=True)
        leave_no_trace(cfg, folder)
        cfg.load_from, cfg.resume = None, False
        if order['amp']:
            cfg.optim_wrapper.type = 'AmpOptimWrapper'
        size, tried, why = probe_batch(Runner.from_cfg(cfg))
    scale = cfg.get('auto_scale_lr') or {}
    found = dict(batch_size=size, why=why, tried=[one._asdict() for one in tried])
    found['lr_follows'] = bool(scale.get('enable') and scale.get('base_batch_size'))
    write_json(path, {**order, **found})


if __name__ == '__main__':
    with one_line_errors():
        main(sys.argv[1])
