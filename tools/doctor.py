"""Say what is installed and what the machine offers, and how to mend what is wrong."""

from cream_mm.command_line import one_line_errors
from cream_mm.commands.doctor import main

if __name__ == '__main__':
    with one_line_errors():
        main()
