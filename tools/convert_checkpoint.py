"""Convert a checkpoint of the released code (microsoft/Cream) to cream_mm, or back."""

from cream_mm.command_line import one_line_errors
from cream_mm.commands.convert_checkpoint import main

if __name__ == '__main__':
    with one_line_errors():
        main()
