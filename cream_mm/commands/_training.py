"""What ``search``, ``retrain`` and ``detect`` share: each is ``train`` with some values set."""

import argparse
from collections.abc import Sequence

from cream_mm.command_line import check_pairs
from cream_mm.commands._values import minutes


def add_train_options(parser: argparse.ArgumentParser, example: str) -> None:
    """What all of them take; ``--cfg-options`` with an example of its own."""
    parser.add_argument(
        '--minutes', type=minutes, metavar='N', help='that it may take: as many epochs as fit'
    )
    parser.add_argument(
        '--dry-run', action='store_true', help='tell how long it will take, and keep nothing of it'
    )
    parser.add_argument('--resume', action='store_true', help='go on where it was interrupted')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help=f'override config values, e.g. {example}',
    )


def parse_train_args(
    parser: argparse.ArgumentParser, argv: Sequence[str] | None
) -> argparse.Namespace:
    """The arguments; ends the command where one of ``--cfg-options`` is no pair."""
    args = parser.parse_args(argv)
    check_pairs(parser, args.cfg_options, '--cfg-options')
    return args


def train_with(
    config: str, work_dir: str, args: argparse.Namespace, options: Sequence[str]
) -> None:
    """Train a config with some options, and what ``--minutes`` and the flags ask for."""
    from cream_mm.commands import train

    words = [*options, *([f'max_minutes={args.minutes:g}'] if args.minutes else [])]
    flags = ['--dry-run'] * args.dry_run + ['--resume'] * args.resume
    given = ['--cfg-options', *words] if words else []
    train.main([config, '--work-dir', work_dir, *flags, *given])
