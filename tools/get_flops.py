"""Parameters and FLOPs of any config: a classifier, a detector, or a search."""

from cream_mm.command_line import one_line_errors
from cream_mm.commands.get_flops import main

if __name__ == '__main__':
    with one_line_errors():
        main()
