"""Print what a classifier says of images, or draw the boxes that a detector finds in them."""

from cream_mm.command_line import one_line_errors
from cream_mm.commands.predict import main

if __name__ == '__main__':
    with one_line_errors():
        main()
