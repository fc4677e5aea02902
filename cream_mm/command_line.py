"""What every command line does: errors that the user can mend are one line, and come at once.

Nothing here imports more than the standard library. A tool parses its arguments, checks what can be
checked without torch, and imports the rest then.
"""

import argparse
import errno
import os
import select
import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from cream_mm.command_words import as_typed
from cream_mm.import_errors import explain_import
from cream_mm.mim_scope import SCOPE, config_place
from cream_mm.version import __version__
from cream_mm.wait_policy import wait_briefly


def tool_parser(description: str, **kwargs: Any) -> argparse.ArgumentParser:
    """A parser that prints its description as it stands, and knows ``--version``."""
    parser = _Parser(
        prog=os.path.basename(sys.argv[0]),
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        **kwargs,
    )
    parser.add_argument('--version', action='version', version=version_line())
    return parser


def version_line() -> str:
    """Version and place, which tell one installation from another."""
    return f'cream_mm {__version__} of {Path(__file__).resolve().parent}'


class _Parser(argparse.ArgumentParser):
    """Speaks of commands as they are typed, and takes ``cream_mm::photos/search.py`` for a file."""

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:
        words = sys.argv[1:] if args is None else args
        return super().parse_known_args([config_place(word) for word in words], namespace)

    def format_help(self) -> str:
        return as_typed(super().format_help())

    def error(self, message: str) -> NoReturn:
        super().error(as_typed(message))


# Commands that go on with --resume.
_TRAIN = ('train.py', 'cream-mm train', 'cream-mm search', 'cream-mm retrain', 'cream-mm detect')
# Keys whose values name a file or a folder: they stay the text that they are.
PLACES = ('ann_file', 'checkpoint', 'data_root', 'folder', 'load_from', 'work_dir')


class OptionsAction(argparse.Action):
    """mmengine's ``DictAction``, but the name of a place and an architecture keep every letter.

    That one takes blanks out of a value, makes a number of ``data_root=2024`` or ``007``, and a
    list of a name with a comma or brackets. A pair of quotes around a name is taken off, and a
    leading ``~`` is the home. An architecture in digits, ``01201201`` or ``1 1 0 1 ... | ...``, is
    text; in brackets it is a list. mmengine is imported when there are options; what is no option
    is said.
    """

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Sequence[str],
        option_string: str | None = None,
    ) -> None:
        check_pairs(parser, values, option_string)
        from mmengine.config import DictAction

        options = dict(getattr(namespace, self.dest, None) or {})
        for value in values:
            key, _, text = value.partition('=')
            *above, last = key.split('.')
            # Elsewhere img is a colour, pad_val.img=114.
            is_place = last in PLACES or last == 'img' and above[-1:] == ['data_prefix']
            if is_place and text != 'None':
                options[key] = _place(text)
                continue
            if last == 'arch' and text != 'None' and not _is_list(text):
                options[key] = _unquoted(text)  # a name, a file, or digits
                continue
            # mmengine makes text of one without commas, and endless recursion of the others.
            if text.lstrip('[( ').startswith(('{', 'dict(')):
                parser.error(
                    f'argument {option_string}: {key} is given a dictionary; give its entries one '
                    f'by one, {key}.NAME=VALUE, or write them into a config with _base_'
                )
            try:
                options[key] = DictAction._parse_iterable(text)
            except AssertionError as error:  # a bracket without the other
                parser.error(f'argument {option_string}: {error}')
        setattr(namespace, self.dest, options)


def _is_list(text: str) -> bool:
    """Of integers, with brackets or without; or a dictionary."""
    bare = text.strip('\'" ')
    return (
        bare.startswith(('[', '(', '{', 'dict('))
        or ',' in bare
        and not set(bare) - set('0123456789, ')
    )


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in '\'"' else text


def _place(text: str) -> str:
    text = _unquoted(text)
    return os.path.expanduser(text) if text.startswith('~') else text


def check_pairs(
    parser: argparse.ArgumentParser, values: Sequence[str], option_string: str | None
) -> None:
    """End the command unless every value is ``KEY=VALUE``."""
    for value in values:
        if not value.partition('=')[0].strip() or '=' not in value:
            parser.error(f'argument {option_string}: {value!r} is not of the form KEY=VALUE')


def check_config(path: str | os.PathLike) -> None:
    """Whether a config can be read, as far as its name tells.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If it cannot be read.
        ValueError: If it is not a ``.py`` file.
    """
    if os.path.isdir(path):
        raise FileNotFoundError(
            f'no config file {path}: it is a folder. A run leaves its config in its folder; '
            f'to go on with one, give {os.path.join(path, "NAME.py")} --work-dir {path} --resume'
        )
    check_file(path, no_config(str(path)))
    if not str(path).endswith('.py'):
        # YAML looks like data, but mmengine builds any object that a tag in it names.
        raise ValueError(f'a config is a .py file; got {path}. Write its content as Python')


def no_config(path: str, besides: str = '') -> str:
    """What to say where a config is not there; one of the package's is told by its own name."""
    name = f'{SCOPE}::{os.path.normpath(path).removeprefix("configs" + os.sep)}'
    if config_place(name) != name:
        return f'no config file {os.path.abspath(path)}{besides}; that of the package is {name}'
    hint = '; "cream-mm configs" lists them' if '::' in path else ''
    return f'no config file {path}{besides}{hint}'


def check_pair(config: str, checkpoint: str | None) -> None:
    """The same for ``CONFIG CHECKPOINT`` and for a work directory in their place.

    Raises:
        FileNotFoundError, OSError, ValueError: As :func:`check_config` and
            :func:`check_checkpoint`; what a directory has is looked at later.
    """
    if not os.path.isdir(config):
        if checkpoint is None and not os.path.exists(config):
            raise FileNotFoundError(no_config(config, ', and no work directory of that name'))
        check_config(config)
    if checkpoint is not None and not os.path.isdir(checkpoint):
        check_checkpoint(checkpoint)


def check_checkpoint(path: str | os.PathLike) -> None:
    """Whether there is such a checkpoint, and may be read.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If it cannot be read.
    """
    check_file(path, f'no checkpoint {path}')


def check_file(path: str | os.PathLike, missing: str) -> None:
    """Whether there is such a file, and may be read.

    Raises:
        FileNotFoundError: With the text ``missing``.
        OSError: If it cannot be read.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(missing)
    if not os.access(path, os.R_OK):
        raise PermissionError(f'cannot read {path}: {os.strerror(errno.EACCES)}')


def check_writable(folder: str | os.PathLike, option: str = '--work-dir') -> None:
    """Whether files can be written into a folder, which may not be there yet; it is not made.

    Args:
        folder (str): The folder.
        option (str): What of the command line names it. Defaults to '--work-dir'.

    Raises:
        OSError: If not; says at which folder it fails.
    """
    folder = Path(folder).absolute()
    there = next(p for p in (folder, *folder.parents) if os.path.lexists(p))
    try:
        with tempfile.TemporaryDirectory(prefix='.cream_mm-', dir=there):
            pass
    except OSError as error:
        where = f'{folder}: {there}' if there != folder else f'{folder}'
        raise type(error)(
            error.errno,
            f'cannot write into {where}: {error.strerror}. Name another folder, with {option}',
        ) from error


def check_writable_file(path: str | os.PathLike, option: str = '--out') -> None:
    """Whether a file can be written, whose folder may not be there yet; nothing is made.

    Args:
        path (str): The file.
        option (str): What of the command line names it. Defaults to '--out'.

    Raises:
        OSError: If not; says at which folder it fails.
    """
    if os.path.isdir(path):
        raise IsADirectoryError(errno.EISDIR, f'{path} is a folder: name a file, with {option}')
    check_writable(os.path.dirname(os.path.abspath(path)), option)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End a command with one line where cream_mm or the command itself says what the user can mend.

    Errors from anywhere else keep their traceback, and so does running out of memory: the line
    then stands below it.
    """
    wait_briefly()
    # Of mmdet when it is imported, about a metric of its own that nothing here uses.
    warnings.filterwarnings('ignore', 'faster_coco_eval is not installed')
    try:
        yield
    except KeyboardInterrupt:
        how = 'the same command with --resume goes on after the last checkpoint'
        if Path(sys.argv[0]).name not in _TRAIN:
            how = 'what was written stays'
        print(f'\ninterrupted: {how}', file=sys.stderr)
        sys.exit(130)  # what shells have for Ctrl-C
    except (FloatingPointError, ImportError, KeyError, OSError, ValueError) as error:
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            sys.exit(141)  # what shells have for a closed pipe
        message = _from_worker(error) or explain_import(error)
        source = Path(traceback.extract_tb(error.__traceback__)[-1].filename).resolve()
        ours = Path(__file__).resolve().parent in source.parents
        if not ours and source != Path(sys.argv[0]).resolve() and not message:
            if getattr(error, 'errno', None) in (errno.ENOSPC, errno.EDQUOT):
                sys.exit(f'error: {error}. Free some space, then continue with --resume')
            raise
        sys.exit(as_typed(f'error: {message or _message(error)}'))
    except (AttributeError, MemoryError, RuntimeError) as error:
        if message := explain_import(error):
            sys.exit(f'error: {message}')
        if not is_out_of_memory(error):
            raise
        traceback.print_exc()
        reason = str(error).strip().split('\n')[0] or 'MemoryError'
        sys.exit(
            f'error: out of memory: {reason}. Take a smaller batch_size or input_size, '
            '--cfg-options batch_size=N input_size=N (the learning rate follows batch_size where '
            'the config has auto_scale_lr; a resumed run keeps its own); on a GPU also --amp; then '
            'continue with --resume'
        )


def _nobody_reads() -> bool:
    """Whether what this process prints goes nowhere, as into ``head`` that has enough."""
    look = select.poll()
    look.register(1, 0)
    if not any(event & select.POLLERR for _, event in look.poll(0)):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # for the flush at the end
    return True


def _message(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f'{error.filename}: {error.strerror}'  # the system's own, which args hold in pieces
    return str(error.args[-1] if error.args else error)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a GPU or the machine had no memory left; torch tells it in several ways."""
    text = str(error).lower()
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == 'OutOfMemoryError'
        or 'out of memory' in text
        or "can't allocate memory" in text
    )


def _from_worker(error: BaseException) -> str | None:
    """The message of an error that cream_mm raised in a worker of a data loader.

    torch raises it again with the worker's traceback as its text.
    """
    text = str(error.args[0]) if error.args else ''
    if not (text.startswith('Caught ') and 'DataLoader worker' in text.split('\n')[0]):
        return None
    place, _, rest = text.rpartition('  File "')[2].partition('"')
    if Path(__file__).resolve().parent not in Path(place).resolve().parents:
        return None
    _, found, message = rest.partition(f'\n{type(error).__name__}: ')
    return message.strip() if found else None
