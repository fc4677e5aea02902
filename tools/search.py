"""Search a trained supernet: rate paths that a strategy proposes, and write the best one."""

from cream_mm.command_line import one_line_errors
from cream_mm.commands.search import main

if __name__ == '__main__':
    with one_line_errors():
        main()
