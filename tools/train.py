"""Train anything: a supernet search, a retraining, a detector."""

from cream_mm.command_line import one_line_errors
from cream_mm.commands.train import main

if __name__ == '__main__':
    with one_line_errors():
        main()
