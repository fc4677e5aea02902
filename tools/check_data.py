"""Look at a data set before anyone trains on it, and split it where that is wanted."""

import sys

from cream_mm.command_line import one_line_errors
from cream_mm.commands.check_data import main

if __name__ == '__main__':
    with one_line_errors():
        sys.exit(main())
