"""Make one HTML page from the files of a search, or of a classifier's training or test."""

from cream_mm.command_line import one_line_errors
from cream_mm.commands.report import main

if __name__ == '__main__':
    with one_line_errors():
        main()
