"""Extension of griffe: in docstrings, roles of Sphinx become links or code, and examples blocks."""

import re
import runpy
from pathlib import Path
from typing import Any

import griffe

PLACES = runpy.run_path(str(Path(__file__).with_name('public_names.py')))['places']()
EXAMPLE = re.compile(r'^>>> .+?(?=\n\n|\Z)', flags=re.M | re.S)
ROLE = re.compile(r':(?:attr|class|data|func|meth|mod):`~?([^`]+)`')


def linked(match: re.Match) -> str:
    """``:class:`CreamNet``` as a link to it, if a page has it."""
    name = match[1].removeprefix('.')
    first, *rest = name.removeprefix('cream_mm.').split('.')
    place = PLACES.get(name.rpartition('.')[2] if '.' in name and not rest else first)
    return f'[`{name}`][{place}]' if place and not rest else f'`{name}`'


class Roles(griffe.Extension):
    """Rewrites each docstring before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring:
            text = EXAMPLE.sub(r'```pycon\n\g<0>\n```', obj.docstring.value)
            obj.docstring.value = ROLE.sub(linked, text)
