"""What of a run is said on the screen. The log file beside it has everything."""

import contextlib
import io
import logging
import os
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from mmengine.dist import is_main_process

from ..command_words import as_typed, speaks_of_program

LIBRARIES = ('mmengine', 'mmcv', 'mmdet', 'mmpretrain')
PROGRESS_STEPS = dict(training=1 / 16, task=1 / 8)
"""Shares after which a line about the progress of a training, or another task, is shown again."""
PROGRESS_SECONDS = 300.0
"""Time after which it is shown in any case."""

# Warnings that tell a user of a config nothing: what a library does by itself, or lacks and is not
# asked for. One not listed here is shown.
NOISE = tuple(
    re.compile(pattern)
    for pattern in (
        r'"FileClient" will be deprecated',
        r'"HardDiskBackend" is the alias',
        r'The prefix is not set in metric class',
        r'Failed to search registry with scope',
        r'init_weights of .* has been called more than once',
        r'Seems like `optimizer\.step\(\)` has been overridden',
        r'faster_coco_eval is not installed',
        r"Only use 'alpha' for pillow backend",
        r'`Visualizer` backend is not initialized',
        r'`build_.*` would be deprecated',
    )
)
# Modules that print how they work, and what they measured once more.
PRINTERS = ('pycocotools', 'mmdet.evaluation', 'mmdet.datasets')


# What libraries say at level INFO that belongs on the screen, by module: else it is for the file.
_SHOWN: dict[str, Callable[[str], bool]] = {
    'mmengine.hooks.checkpoint_hook': lambda text: 'best checkpoint with' in text,
    'mmengine.hooks.early_stopping_hook': lambda text: True,
    'mmengine.runner.runner': lambda text: (
        text.startswith('resumed epoch')
        or (text.startswith('LR is set') and not text.rstrip('.').endswith(' 1.0'))
    ),
    # The table of classes, which a config asks for, as all that a metric draws.
    'mmdet.evaluation.metrics.coco_metric': lambda text: '| category' in text,
}


class ScreenFilter(logging.Filter):
    """Lets through to the screen what tells a user something; put on a handler of the screen.

    Errors always pass, and warnings but for :data:`NOISE`. Of what is said at level INFO, all of
    cream_mm's and of the user's own code passes, and of OpenMMLab's libraries results and progress;
    lines about progress are thinned. A record with ``file_only=True`` does not pass. One with
    ``share=0.25`` tells how far a task is.

    Args:
        share (Callable): How far the training is, 0 to 1.
    """

    def __init__(self, share: Callable[[], float]):
        super().__init__()
        self._training_share = share
        self._last: dict[str, float] = {}  # task -> share that was shown last
        self._shown_at = -PROGRESS_SECONDS

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is for the screen."""
        if speaks_of_program():
            record.msg, record.args = as_typed(record.getMessage()), ()
        if getattr(record, 'file_only', False):
            return False
        if record.levelno >= logging.WARNING:
            return record.levelno > logging.WARNING or not is_noise(record.getMessage())
        if (share := getattr(record, 'share', None)) is not None:
            return self._is_due('task', share)
        module, function = _origin()
        if module.split('.')[0] not in LIBRARIES:
            return True
        text = record.getMessage()
        if module == 'mmengine.hooks.logger_hook':
            if function in ('after_val_epoch', 'after_test_epoch'):
                return True
            if text.startswith('Exp name') or function not in (
                'after_train_iter', 'after_val_iter', 'after_test_iter',
            ):  # fmt: skip
                return False
            if function == 'after_train_iter':
                return self._is_due('training', self._training_share())
            return self._is_due('other', 0.0)  # of a validation: by time alone
        return _SHOWN.get(module, lambda text: False)(text)

    def _is_due(self, task: str, share: float) -> bool:
        now, last = time.monotonic(), self._last.get(task)
        is_first = task != 'other' and (last is None or share < last)
        is_far = task != 'other' and (share >= (last or 0.0) + PROGRESS_STEPS[task] or share >= 1)
        if is_first or is_far or now - self._shown_at >= PROGRESS_SECONDS:
            self._last[task], self._shown_at = share, now
            return True
        return False


def is_noise(text: str) -> bool:
    """Whether a warning is one of :data:`NOISE`."""
    return any(pattern.search(text) for pattern in NOISE)


def put_on_screen(logger: logging.Logger, share: Callable[[], float]) -> None:
    """Filter what a run's logger says on the screen; at level DEBUG all is shown."""
    for handler in logger.handlers:
        if type(handler) is logging.StreamHandler and handler.level > logging.DEBUG:
            for old in [f for f in handler.filters if isinstance(f, ScreenFilter)]:
                handler.removeFilter(old)  # of another run of this name in this process
            handler.addFilter(ScreenFilter(share))


@contextlib.contextmanager
def rest_to_file(logger: logging.Logger) -> Iterator[None]:
    """Python's warnings go to the log as well; those that are noise, and prints, to it alone.

    At level DEBUG nothing is taken from the screen.
    """
    if any(handler.level <= logging.DEBUG for handler in logger.handlers):
        yield
        return
    show = warnings.showwarning

    def show_or_log(message, category, filename, lineno, file=None, line=None) -> None:
        if file is None:
            text = f'{filename}:{lineno}: {category.__name__}: {message}'
            logger.log(logging.WARNING, text, extra=dict(file_only=True))
            if is_noise(str(message)) or not is_main_process():
                return
        show(message, category, filename, lineno, file, line)

    def tell_file(text: str) -> None:
        logger.info(text, extra=dict(file_only=True))

    warnings.showwarning = show_or_log
    try:
        with contextlib.redirect_stdout(_Prints(sys.stdout, tell_file)):
            yield
    finally:
        if warnings.showwarning is show_or_log:
            warnings.showwarning = show


@contextlib.contextmanager
def quiet_start() -> Iterator[None]:
    """Leave out what each process says while a group of them starts: gloo of its peers, by C++.

    Errors go to stderr, and are raised.
    """
    with warnings.catch_warnings(), open(os.devnull, 'wb') as nowhere:
        warnings.filterwarnings('ignore', 'Setting (OMP|MKL)_NUM_THREADS environment variable')
        if 'WORLD_SIZE' not in os.environ:
            yield
            return
        sys.stdout.flush()
        kept = os.dup(1)
        os.dup2(nowhere.fileno(), 1)
        try:
            yield
        finally:
            os.dup2(kept, 1)
            os.close(kept)


class _Prints(io.TextIOBase):
    """Standard output, of which the lines that :data:`PRINTERS` print go elsewhere."""

    def __init__(self, stream: Any, elsewhere: Callable[[str], None]):
        self._stream = stream
        self._elsewhere = elsewhere
        self._begun = ''  # a line of a printer that has no end yet

    def write(self, text: str) -> int:
        if not _origin()[0].startswith(PRINTERS):
            return self._stream.write(text)
        *lines, self._begun = (self._begun + text).split('\n')
        for line in lines:
            if line.strip():
                self._elsewhere(line)
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    @property
    def encoding(self) -> str | None:
        return getattr(self._stream, 'encoding', None)


def _origin() -> tuple[str, str]:
    """Module and function that logs or prints: the innermost frame that is not part of logging."""
    skipped = (__name__, 'logging', 'mmengine.logging')
    frame = sys._getframe(1)
    while frame is not None:
        module = frame.f_globals.get('__name__') or ''
        if not any(module == name or module.startswith(f'{name}.') for name in skipped):
            return module, frame.f_code.co_name
        frame = frame.f_back
    return '', ''
