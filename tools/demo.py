"""The whole story on a CPU: search, export, retrain, detect, report. About ten minutes."""

from cream_mm.command_line import one_line_errors
from cream_mm.commands.demo import main

if __name__ == '__main__':
    with one_line_errors():
        main()
