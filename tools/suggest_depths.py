"""Depths and input size that the released Cream code would choose for a FLOPs range, and why."""

from cream_mm.command_line import one_line_errors
from cream_mm.commands.suggest_depths import main

if __name__ == '__main__':
    with one_line_errors():
        main()
