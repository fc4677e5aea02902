"""Run a script with cream_mm imported before it: ``python -m cream_mm SCRIPT [ARG ...]``.

For scripts that import ``mmcv.ops``, or what of mmdet needs it, before they have read a config.
"""

import os
import runpy
import sys


def main() -> None:
    if len(sys.argv) < 2 or not os.path.isfile(sys.argv[1]):
        named = f': no file {sys.argv[1]}' if len(sys.argv) > 1 else ''
        sys.exit(f'error: python -m cream_mm SCRIPT [ARG ...]{named}')
    del sys.argv[0]
    sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))  # as Python itself has it
    runpy.run_path(sys.argv[0], run_name='__main__')


if __name__ == '__main__':
    main()
