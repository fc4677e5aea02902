"""Does a supernet rank networks as training each alone does? Correlate it with a table."""

from cream_mm.command_line import one_line_errors
from cream_mm.commands.rank_correlation import main

if __name__ == '__main__':
    with one_line_errors():
        main()
