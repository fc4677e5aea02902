"""Blocks that the supernet and the fixed network share, so that export is a renaming."""

from .mbconv import (
    ConvBNAct,
    DepthwiseSeparable,
    MBConv,
    build_choice,
    build_first,
    build_last,
    build_norm,
    build_stem,
    head_settings,
    norm_of,
    prefer_channels_last,
    run_stem,
    set_drop_paths,
)
from .squeeze_excite import SqueezeExcite

__all__ = [
    'ConvBNAct',
    'DepthwiseSeparable',
    'MBConv',
    'SqueezeExcite',
    'build_choice',
    'build_first',
    'build_last',
    'build_norm',
    'build_stem',
    'head_settings',
    'norm_of',
    'prefer_channels_last',
    'run_stem',
    'set_drop_paths',
]
