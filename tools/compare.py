"""Is what a search found better than the usual means? Train both by one recipe and compare."""

from cream_mm.command_line import one_line_errors
from cream_mm.commands.compare import main

if __name__ == '__main__':
    with one_line_errors():
        main()
