"""Copy an image folder into one that is faster to train on."""

from cream_mm.command_line import one_line_errors
from cream_mm.commands.prepare_images import main

if __name__ == '__main__':
    with one_line_errors():
        main()
