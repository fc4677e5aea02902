"""Turn a path of a supernet into weights, arch.json and ready-to-run configs."""

from cream_mm.command_line import one_line_errors
from cream_mm.commands.export_arch import main

if __name__ == '__main__':
    with one_line_errors():
        main()
