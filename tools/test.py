"""Evaluate a checkpoint: a classifier, a detector, or a supernet (whose board is then rated)."""

from cream_mm.command_line import one_line_errors
from cream_mm.commands.test import main

if __name__ == '__main__':
    with one_line_errors():
        main()
