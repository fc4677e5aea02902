import itertools
import json

import numpy as np
import pytest

from cream_mm.spaces import SPACE_PRESETS, MBConvSpace
from cream_mm.structures import Arch
from cream_mm.testing import tiny_space

MACRO = MBConvSpace.build('nas_bench_macro')


def all_of(space):
    for flat in itertools.product(range(len(space.choices)), repeat=space.num_layers):
        yield space.decode(flat)


@pytest.mark.parametrize('name', SPACE_PRESETS)
def test_by_name(name):
    space = MBConvSpace.build(name)
    assert space.name == name and space == MBConvSpace.build(dict(preset=name))
    again = MBConvSpace.build(json.loads(json.dumps(space.to_dict())))
    assert again == space and hash(again) == hash(space)


def test_a_preset_with_changes():
    assert MBConvSpace.build('cream') == MBConvSpace()
    space = MBConvSpace.build(dict(preset='dna', widths=[24, 40, 80, 96, 160, 320]))
    assert space.stage_channels == (16, 24, 40, 80, 96, 160, 320, 1280) and space.stem_width == 32
    with pytest.raises(ValueError, match="no space is named 'nas'; there are .*'nas_bench_macro'"):
        MBConvSpace.build(dict(preset='nas'))


def test_layers_of_nas_bench_macro():
    assert [tuple(spec)[2:] for spec in MACRO.layers()] == [
        (32, 64, 2), (64, 64, 1),
        (64, 128, 2), (128, 128, 1), (128, 128, 1),
        (128, 256, 2), (256, 256, 1), (256, 256, 1),
    ]  # fmt: skip
    assert [spec.reshapes for spec in MACRO.layers()] == [
        True, False, True, False, False, True, False, False,
    ]  # fmt: skip


def test_what_a_detector_takes():
    assert MBConvSpace().feature_indices == (1, 2, 4, 6)  # strides 4, 8, 16, 32
    assert MBConvSpace.build('dna').feature_indices == (1, 2, 4, 6)
    assert MACRO.feature_indices == (1, 2, 3)  # strides 2, 4, 8
    assert MACRO.stage_strides == (1, 2, 4, 8, 8)
    assert MBConvSpace().stage_strides == (2, 4, 8, 16, 16, 32, 32)
    assert MBConvSpace.build('dna').stage_strides == (2, 4, 8, 16, 16, 32, 32, 32)
    assert tiny_space().feature_indices == (3,)


# depths, widths of the stages
LITE = {
    'lite0': ((2, 2, 3, 3, 4, 1), (24, 40, 80, 112, 192, 320)),
    'lite1': ((3, 3, 4, 4, 5, 1), (24, 40, 80, 112, 192, 320)),
    'lite2': ((3, 3, 4, 4, 5, 1), (24, 48, 88, 120, 208, 352)),
}


@pytest.mark.parametrize('name', LITE)
def test_skeletons_of_efficientnet_lite(name):
    space = MBConvSpace.build(name)
    depths, widths = LITE[name]
    assert (space.depths, space.stem_width, space.head_channels) == (depths, 32, 1280)
    assert space.stage_channels == (16, *widths, widths[-1])  # nothing behind the last stage
    assert space.stage_strides == (2, 4, 8, 16, 16, 32, 32, 32) and space.last_block == 6
    assert space.feature_indices == (1, 2, 4, 6)
    assert (space.act, space.se, space.padding, space.bn_eps) == ('relu6', 'none', 'same', 1e-3)
    assert space.choices == tuple(itertools.product((3, 5, 7), (3, 4, 6)))
    assert MBConvSpace().last_block == 6 and MBConvSpace.build('dna').last_block == 7


def test_files_from_before_keep_their_counter():
    old = MBConvSpace.build('dna').to_dict()
    assert not {'padding', 'bn_eps', 'head_norm'} & set(old)  # as they were, at the defaults
    del old['published_flops']
    space = MBConvSpace.build(old)
    assert (space.padding, space.bn_eps, space.head_norm) == ('half', None, False)
    assert space.published_flops == 'cream' and MBConvSpace.build('dna').published_flops == 'dna'


# --- identity ---


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(choices=('identity', (3, 4), 'identity')), 'or, once, .identity.'),
        (dict(choices=('skip', (3, 4))), "'skip'"),
        (dict(choices=((3,),)), 'kernels are odd'),
        (dict(act='gelu'), "act='gelu'"),
        (dict(se='eca'), "se='eca'"),
        (dict(first_channels=-8), 'first_channels=-8'),
        (dict(head_channels=-1), 'head_channels=-1'),
        (dict(final_channels=-320), 'final_channels=-320'),
        (dict(padding='valid'), "padding='valid'"),
        (dict(padding=['same']), 'padding=.*same'),
        (dict(published_flops='thop'), "published_flops='thop'"),
        (dict(bn_eps=0), 'bn_eps is a number > 0, .*; got 0'),
        (dict(bn_eps=True), 'got True'),
        (dict(bn_eps='1e-3'), "got '1e-3'"),
        (dict(bn_eps=float('nan')), 'got nan'),
        (dict(bn_eps=float('inf')), 'got inf'),
        (dict(head_norm=1), 'head_norm is True or False; got 1'),
        (dict(head_norm='no'), "got 'no'"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        MBConvSpace(**settings)


def test_distinct_networks_of_nas_bench_macro():
    archs = list(all_of(MACRO))
    forms = [MACRO.canonical(arch) for arch in archs]
    assert len(archs) == len(set(archs)) == 6561
    assert len(set(forms)) == 3969  # 9 * 21 * 21
    assert all(MACRO.canonical(form) == form for form in forms)
    for arch, form in zip(archs, forms, strict=True):
        for ours, theirs in zip(arch.stages, form.stages, strict=True):
            assert ours[0] == theirs[0]  # a layer of stride 2 stays
            kept = [[c for c in stage if c] for stage in (ours, theirs)]
            assert kept[0] == kept[1] and len(ours) == len(theirs)


@pytest.mark.parametrize(
    ('text', 'canonical'),
    [('00 000 000', '00 000 000'), ('01 001 001', '01 010 010'), ('20 102 201', '20 120 210'),
     ('12 012 102', '12 012 120')],
)  # fmt: skip
def test_canonical_by_hand(text, canonical):
    assert MACRO.canonical(MACRO.parse(text)) == MACRO.parse(canonical)


def test_canonical_where_a_stage_keeps_size_and_width():
    # 16 -> 16 at stride 1: even the first layer's identity is nothing. 16 -> 24 is not.
    space = tiny_space(
        choices=((3, 4), 'identity'), stem_channels=16, widths=(16, 24), strides=(1, 1)
    )
    assert space.canonical(Arch(((1, 0), (1, 0)))) == Arch(((0, 1), (1, 0)))
    assert len({space.canonical(arch) for arch in all_of(space)}) == 3 * 4


def test_canonical_without_identity():
    arch = MBConvSpace().sample(np.random.default_rng(0))
    assert MBConvSpace().canonical(arch) is arch


# --- digits ---


def test_digits():
    arch = MACRO.parse('01201201')
    assert arch == Arch(((0, 1), (2, 0, 1), (2, 0, 1)), 'nas_bench_macro')
    assert all(MACRO.parse(MACRO.format(a)) == a for a in itertools.islice(all_of(MACRO), 50))
    dna = MBConvSpace.build('dna')
    text = '430 3340 2340 1441 14441 0'
    assert dna.parse(text).depths == (3, 4, 4, 4, 5, 1) and dna.format(dna.parse(text)) == text


@pytest.mark.parametrize(
    ('text', 'message'),
    [('0120120', 'has 7 digits; .* has 8 layers'), ('01201203', 'choice 3 in stage 3'),
     ('0120120x', 'in digits'), ('', 'in digits'), ('01 20', 'has 2 searchable stages'),
     ('０1201201', 'in digits')],
)  # fmt: skip
def test_wrong_digits(text, message):
    with pytest.raises(ValueError, match=message):
        MACRO.parse(text)


def test_more_choices_than_digits():
    space = tiny_space(choices=[(3, e) for e in range(1, 12)])
    arch = space.decode([10, 0, 0, 0])
    assert (
        space.format(arch) == '[[0],[10,0],[0,0],[0]]' and space.parse(space.format(arch)) == arch
    )
