"""Train random paths of a search alone, from scratch: the ground truth for a rank correlation."""

from cream_mm.command_line import one_line_errors
from cream_mm.commands.train_paths import main

if __name__ == '__main__':
    with one_line_errors():
        main()
