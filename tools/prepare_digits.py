"""Write the demo's data: real handwritten digits to classify, and scenes of them to detect."""

from cream_mm.command_line import one_line_errors
from cream_mm.commands.prepare_digits import main

if __name__ == '__main__':
    with one_line_errors():
        main()
