"""From any way of naming an architecture to the architecture and its space."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...files.arch_file import read_arch_file
from ...registry import type_name
from ...spaces import MBConvSpace, Space, known_spaces
from ...structures import Arch
from .fixed_network import network_class
from .published import published_nets


def resolve_arch(
    arch: str | Path | Sequence | Arch,
    space: Mapping | str | Space | None = None,
    kind: type[Space] | None = None,
) -> tuple[Arch, Space, dict]:
    """Turn any way of naming an architecture into the architecture and its space.

    Args:
        arch (str | Path | list | Arch): A published name (``'cream-287m'``, ``'lite0'``), the path
            of an exported JSON, a nested list, the same list as text, one digit per layer
            (``'01201201'``), or as cells are published (``'|nor_conv_3x3~0|+...'``, ``'1 1 0 1
            ... | 0 2 0 2 ...'``).
        space (dict | str | Space, optional): The space, as :func:`build_space` takes it. A
            published name and an exported JSON bring their own; what is given here wins over it,
            key by key.
        kind (type[Space], optional): The class that the space has to be of. Defaults to that of
            what is named, else to :class:`MBConvSpace`.

    Returns:
        tuple[Arch, Space, dict]: The architecture, its space with the architecture's own depths,
        and the JSON's other content (``input_size`` and more for a published name).

    Raises:
        ValueError: If the name is unknown, the file is not an exported architecture, the
            architecture is not one of the space, or the space is of another class.
    """
    about, base = {}, None
    given = _class_of(space)
    if isinstance(arch, (str, Path)):
        arch = text = str(arch)
        if text in published_nets:
            net = published_nets[text]
            about, arch, base = dict(name=text, **net.about()), net.arch, net.space
        elif text.endswith('.json'):
            about = read_arch_file(text)
            base, arch = about['space'], about['arch']
            base = base if 'type' in base else MBConvSpace.settings(base)
        elif not text.lstrip().startswith('['):
            claiming = [cls for cls in known_spaces().values() if cls.claims(text)]
            if not claiming and not text.replace(' ', '').isdigit():
                raise ValueError(
                    f'unknown architecture {text!r}; known names are {", ".join(published_nets)}. '
                    'An exported .json file or a nested list such as '
                    '[[0],[0],[3,3],[3,1,3],[3,3,3,3],[3,3,3],[0]] is accepted too'
                )
            given = given or next(iter(claiming), None)
        own = _class_of(base) or (MBConvSpace if base is not None else None)
        if own and given and own is not given:
            raise ValueError(f'{text} is of a {own.__name__}, and the space that is given is not')
        given = own or given
    cls = given or kind or MBConvSpace
    full = cls.build({**(cls.settings(base) if base is not None else {}), **cls.settings(space)})
    if kind is not None and cls is not kind:
        other = network_class(full).__name__
        raise ValueError(f'{arch} is of a {cls.__name__}: its backbone is cream_mm.{other}')
    arch = full.parse(arch)
    return arch, full.of_network(arch), about


def names_network(text: str) -> bool:
    """Whether a text is a network by itself, and no config: a name, a JSON, or an architecture."""
    if text in published_nets or text.endswith('.json') or text.lstrip().startswith('['):
        return True
    claimed = any(space.claims(text) for space in known_spaces().values())
    return claimed and not os.path.exists(text)


def _class_of(space: Mapping | str | Space | None) -> type[Space] | None:
    """The class that a space names; None where it names none."""
    if isinstance(space, Space):
        return type(space)
    if isinstance(space, str):
        return MBConvSpace  # the name of a preset
    kind = (space or {}).get('type')
    if kind is None:
        return None
    found = kind if isinstance(kind, type) else known_spaces().get(type_name(kind))
    if found is None:
        names = ', '.join(sorted(known_spaces()))
        raise ValueError(f'{kind!r} is not a search space; there are {names}')
    return found
