"""How long the networks of a search space take on this machine: measure a table, and check it."""

from cream_mm.command_line import one_line_errors
from cream_mm.commands.latency import main

if __name__ == '__main__':
    with one_line_errors():
        main()
