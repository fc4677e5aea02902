"""One reader for every way of naming an architecture, whatever its space."""

import json

import pytest

from cream_mm.models import CreamNet, NAONet, NASBench201Net
from cream_mm.models.backbones.resolve_arch import resolve_arch
from cream_mm.spaces import MBConvSpace, NAOSpace, NASBench201Space

CELL = '|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|none~1|nor_conv_1x1~2|'
LIST = [[3], [0, 1], [4, 0, 2]]
SMALL = NASBench201Space(channels=8, num_cells=2)


def write(path, **changes):
    content = dict(
        format='cream_mm.arch/1', arch=LIST, space=SMALL.to_dict(), num_classes=3,
        head_channels=0, input_size=[16, 16], norm_cfg=dict(type='BN', eps=0.25),
    )  # fmt: skip
    path.write_text(json.dumps({**content, **changes}))
    return path


@pytest.mark.parametrize(
    ('arch', 'space'),
    [
        (CELL, None),
        (LIST, NASBench201Space()),
        (str(LIST), dict(type='cream_mm.NASBench201Space')),
        ([3, 0, 1, 4, 0, 2], dict(type=NASBench201Space)),
        ('3 01 402', dict(type='NASBench201Space', num_cells=5)),
        (NASBench201Space().parse(CELL), NASBench201Space()),
    ],
)
def test_every_way_of_naming_a_cell(arch, space):
    found, its, about = resolve_arch(arch, space)
    assert (found.to_list(), its, about) == (LIST, NASBench201Space(), {})


PAIRS = '1 1 0 1 2 4 0 0 0 0 2 1 0 0 0 2 0 3 0 0 | 0 2 0 2 2 2 1 0 0 0 0 1 0 0 0 3 0 0 0 1'


@pytest.mark.parametrize(
    ('arch', 'space'),
    [
        (PAIRS, None),
        (PAIRS.replace(' |', ''), None),
        (PAIRS.replace(' ', ''), None),
        (PAIRS.replace(' | ', '').replace(' ', ''), None),
        (PAIRS.replace(' | ', '|').replace(' ', '').replace('|', ' '), dict(type='NAOSpace')),
        (NAOSpace().parse(PAIRS), NAOSpace()),
        (NAOSpace().parse(PAIRS).to_list(), NAOSpace()),
        (str(NAOSpace().parse(PAIRS)), dict(type='cream_mm.NAOSpace')),
    ],
)
def test_every_way_of_naming_two_cells(arch, space):
    found, its, about = resolve_arch(arch, space)
    assert (its.format(found), its, about) == (PAIRS, NAOSpace(), {})
    with pytest.raises(ValueError, match='of a NAOSpace: its backbone is cream_mm.NAONet'):
        resolve_arch(arch, space, NASBench201Space)
    if isinstance(arch, str) and space is None:
        with pytest.raises(ValueError, match='is of a NAOSpace: its backbone is cream_mm.NAONet'):
            CreamNet(arch)
        assert NAONet(arch, space=dict(channels=4, num_cells=1)).space.channels == 4


def test_digits_are_of_the_first_kind_unless_they_are_two_cells():
    arch, space, _ = resolve_arch('0 0 3333 3 3')
    assert isinstance(space, MBConvSpace) and arch.depths == (1, 1, 4, 1, 1)
    with pytest.raises(ValueError, match="'0000' has 4 digits; 'cream' has 20 layers"):
        resolve_arch('0000')
    with pytest.raises(ValueError, match="in 'nao' it is 20 integers .* got 2 | 2"):
        resolve_arch('1 1 | 0 2')


def test_a_file_brings_its_space_and_what_is_given_wins(tmp_path):
    path = write(tmp_path / 'a.json')
    for name in (path, str(path)):
        arch, space, about = resolve_arch(name)
        assert (arch.to_list(), space, about['num_classes']) == (LIST, SMALL, 3)
    space = resolve_arch(path, dict(stem_stride=4))[1]
    assert space == NASBench201Space(channels=8, num_cells=2, stem_stride=4)
    assert NASBench201Net(str(path)).lastact[0].eps == 0.25  # its norms, too


def test_without_a_word_it_is_a_network_of_the_first_kind():
    arch, space, _ = resolve_arch([[0], [0], [3], [3], [1], [3], [0]])
    assert isinstance(space, MBConvSpace) and space.depths == arch.depths == (1, 1, 1, 1, 1)


def test_a_backbone_takes_its_own_kind_alone(tmp_path):
    path = write(tmp_path / 'a.json')
    assert NASBench201Net(LIST, space=dict(num_cells=1)).space.num_cells == 1
    with pytest.raises(ValueError, match='of a NASBench201Space: its backbone is cream_mm.NAS'):
        CreamNet(str(path))
    with pytest.raises(ValueError, match='of a NASBench201Space: its backbone is cream_mm.NAS'):
        CreamNet(CELL)
    with pytest.raises(ValueError, match='of a MBConvSpace: its backbone is cream_mm.CreamNet'):
        NASBench201Net('cream-14m')
    with pytest.raises(ValueError, match=r'a\.json is of a NASBench201Space, and the space that'):
        resolve_arch(path, 'lite0')
    with pytest.raises(ValueError, match='cream-14m is of a MBConvSpace, and the space that is'):
        resolve_arch('cream-14m', SMALL)


def test_what_is_no_architecture():
    with pytest.raises(ValueError, match='unknown architecture .*known names are cream-14m'):
        resolve_arch('cream-15m')
    with pytest.raises(ValueError, match='conv_5x5.* is no operation'):
        resolve_arch(CELL.replace('nor_conv_3x3', 'conv_5x5'))
    with pytest.raises(ValueError, match="'os.PathLike' is not a search space; there are Block"):
        resolve_arch(LIST, dict(type='os.PathLike'))
    with pytest.raises(ValueError, match=r"has no \['width'\]; it has name, channels"):
        resolve_arch(CELL, dict(width=8))
