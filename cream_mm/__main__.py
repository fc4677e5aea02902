"""``python -m cream_mm COMMAND ...`` is ``cream-mm COMMAND ...``; or run a script.

``python -m cream_mm SCRIPT.py [ARG ...]`` runs it with cream_mm imported before: for scripts that
import ``mmcv.ops``, or what of mmdet needs it, before they have read a config, and for configs that
inherit from ``cream_mm::``.
"""

import os
import sys

_PACKAGE = os.path.dirname(os.path.abspath(__file__))
_IS_FILE = __package__ in (None, '')  # python cream_mm/__main__.py: how we start processes
if _IS_FILE and sys.path[:1] == [_PACKAGE]:
    sys.path[:1] = []  # its folders are called datasets, testing, ...
    sys.path.append(os.path.dirname(_PACKAGE))


def main() -> None:
    import runpy

    if _IS_FILE and sys.argv[1:2] and sys.argv[1].startswith('cream_mm.'):
        del sys.argv[0]
        runpy.run_module(sys.argv[0], run_name='__main__')
        return
    from cream_mm.command_words import use_program
    from cream_mm.commands.main import run

    if len(sys.argv) < 2 or not os.path.isfile(sys.argv[1]):
        if len(sys.argv) > 1 and ('/' in sys.argv[1] or sys.argv[1].endswith('.py')):
            sys.exit(f'error: python -m cream_mm SCRIPT [ARG ...]: no file {sys.argv[1]}')
        if not _IS_FILE:
            use_program()
            if sys.path[:1] == [os.getcwd()]:
                del sys.path[0]  # the user's folder, whose names are those of modules
        run(sys.argv[1:])
        return
    del sys.argv[0]
    sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))  # as Python itself has it
    runpy.run_path(sys.argv[0], run_name='__main__')


if __name__ == '__main__':
    main()
