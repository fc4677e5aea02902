"""Architecture files from elsewhere: one ValueError each, nothing run, nothing large allocated."""

import json

import pytest

from cream_mm import create_model
from cream_mm.apis.export_arch import export_arch
from cream_mm.costs import build_cost_model
from cream_mm.files import read_json
from cream_mm.files.arch_file import (
    ARCH_FORMAT,
    arch_content,
    network_of,
    read_arch_file,
    run_settings,
)
from cream_mm.reports.search_report import SearchReport
from cream_mm.spaces import MBConvSpace, NAOSpace, NASBench201Space
from cream_mm.structures import Arch

GOOD = dict(
    format=ARCH_FORMAT,
    arch=[[0], [0], [3], [3], [1], [3], [0]],
    space=dict(depths=[1, 1, 1, 1, 1]),
    num_classes=10,
    head_channels=1280,
    input_size=[64, 64],
    preprocess=dict(mean=[1.0] * 3, std=[2.0] * 3, to_rgb=True),
    next_steps=dict(retrain='configs/cream/retrain_imagenet.py'),
    data_root='data',
)


def write(path, **changes):
    path.write_text(json.dumps({**GOOD, **changes}))
    return path


def test_what_an_export_writes(tmp_path):
    assert read_arch_file(write(tmp_path / 'a.json')) == GOOD
    assert create_model(str(write(tmp_path / 'a.json'))).head.num_classes == 10


def test_the_content_is_read_again(tmp_path):
    space = MBConvSpace.build(GOOD['space'])
    costs = build_cost_model(space, 64, num_classes=10)
    content = arch_content(Arch.from_list(GOOD['arch']), costs, data_root='data')
    (tmp_path / 'a.json').write_text(json.dumps(content))
    read = read_arch_file(tmp_path / 'a.json')
    assert [read[key] for key in ('arch', 'input_size', 'num_classes', 'head_channels')] == [
        GOOD['arch'], [64, 64], 10, 1280,
    ]  # fmt: skip
    assert MBConvSpace.build(read['space']) == space and read['data_root'] == 'data'
    assert sum(row['macs'] for row in read['layers']) == round(read['costs']['macs_m'] * 1e6)


def test_what_a_space_says_beside_numbers_is_read_again(tmp_path):
    space = MBConvSpace.build('lite0')
    arch = space.decode([2] * space.num_layers)
    content = arch_content(arch, build_cost_model(space, 64, num_classes=10))
    (tmp_path / 'a.json').write_text(json.dumps(content))
    assert MBConvSpace.build(read_arch_file(tmp_path / 'a.json')['space']) == space


def test_two_cells_are_read_again(tmp_path):
    space = NAOSpace(channels=8, num_cells=2, stem_stride=4)
    arch = space.parse('1 1 0 1 2 4 0 0 0 0 2 1 0 0 0 2 0 3 0 0 | ' + '0 2 ' * 10)
    content = arch_content(arch, build_cost_model(space, 64, num_classes=10))
    (tmp_path / 'a.json').write_text(json.dumps(content))
    read = read_arch_file(tmp_path / 'a.json')
    assert network_of(read, 'there') == (arch, space)
    assert sum(row['macs'] for row in read['layers']) == round(read['costs']['macs_m'] * 1e6)
    for entry, words in (
        (dict(num_cells=1001), 'num_cells of a space is 1 to 1000'), (dict(channels=2.5), 'chann'),
        (dict(channels=60_000), 'too many channels'), (dict(channels=20_000), 'over .* weights'),
        (dict(stem_stride='4'), 'space.stem_stride'), (dict(name='x' * 201), 'space.name'),
    ):  # fmt: skip
        hostile = dict(content, space=dict(content['space'], **entry))
        (tmp_path / 'b.json').write_text(json.dumps(hostile))
        with pytest.raises(ValueError, match=f'damaged, or not from an export: .*{words}'):
            read_arch_file(tmp_path / 'b.json')


HOSTILE = dict(
    huge_class_count=dict(num_classes=10**12),
    class_count_as_text=dict(num_classes='10'),
    negative_class_count=dict(num_classes=-1),
    huge_head=dict(head_channels=10**12),
    large_head_and_classes=dict(head_channels=99_999, num_classes=999_999),
    huge_width=dict(space=dict(width_mult=1e12)),
    infinite_width=dict(space=dict(width_mult=float('inf'))),
    nan_width=dict(space=dict(width_mult=float('nan'))),
    huge_kernel=dict(space=dict(choices=[[99_999, 99_999]] * 6)),
    choice_of_words=dict(space=dict(choices=['identity', 'MARKER'] * 3)),
    half_a_choice=dict(space=dict(choices=[[3]] * 6)),
    two_identities=dict(space=dict(choices=['identity'] * 6)),
    identity_elsewhere=dict(space=dict(depths=['identity'] * 5)),
    channels_as_text=dict(space=dict(first_channels='16')),
    no_channels=dict(space=dict(stem_channels=None)),
    act_of_another_kind=dict(space=dict(act=['silu'])),
    unknown_squeeze=dict(space=dict(se='MARKER')),
    preset=dict(space=dict(preset='cream')),
    unknown_key=dict(space=dict(depth=[1])),
    words_for_depths=dict(space=dict(depths='abcde')),
    endless_arch=dict(arch=[[0], [0] * 10**5, [3], [3], [1], [3], [0]]),
    flat_arch=dict(arch=[1, 2, 3]),
    nested_arch=dict(arch=[[0], [[[0]]], [3], [3], [1], [3], [0]]),
    choice_out_of_range=dict(arch=[[0], [10**30], [3], [3], [1], [3], [0]]),
    huge_image=dict(input_size=[10**12, 10**12]),
    one_side=dict(input_size=64),
    preprocess_of_a_type=dict(preprocess=dict(type='subprocess.Popen', args=['touch', 'MARKER'])),
    preprocess_of_words=dict(preprocess=dict(mean=['a', 'b', 'c'])),
    preprocess_list=dict(preprocess=[1]),
    config_elsewhere=dict(next_steps=dict(retrain='MARKER.py')),
    config_above=dict(next_steps=dict(detector='../../evil.py')),
    config_of_another_kind=dict(next_steps=dict(retrain='configs/evil.yml')),
    steps_list=dict(next_steps=['a']),
    data_root=dict(data_root=['a']),
    no_space=dict(space=None),
    padding_of_words=dict(space=dict(padding='MARKER')),
    padding_list=dict(space=dict(padding=['same'])),
    eps_of_words=dict(space=dict(bn_eps='MARKER')),
    eps_of_nothing=dict(space=dict(bn_eps=0)),
    eps_that_is_true=dict(space=dict(bn_eps=True)),
    eps_list=dict(space=dict(bn_eps=[None])),
    infinite_eps=dict(space=dict(bn_eps=float('inf'))),
    norm_of_words=dict(space=dict(head_norm='MARKER')),
    norm_of_a_number=dict(space=dict(head_norm=1)),
    norm_list=dict(space=dict(head_norm=[True])),
    counter_of_words=dict(space=dict(published_flops='MARKER')),
    share_of_words=dict(split=dict(holdout='MARKER')),
    seed_of_words=dict(split=dict(split_seed='MARKER')),
    split_of_another_key=dict(split=dict(type='MARKER')),
    negative_conv=dict(space=dict(final_channels=-8)),
)


@pytest.mark.parametrize('name', HOSTILE)
def test_hostile_values(tmp_path, name):
    marker = tmp_path / 'marker'
    (tmp_path / 'marker.py').write_text(f'open({str(marker)!r}, "w").close()')
    text = json.dumps({**GOOD, **HOSTILE[name]}).replace('MARKER', str(marker))
    path = tmp_path / 'best_arch.json'
    path.write_text(text)
    for read in (
        read_arch_file,
        lambda path: create_model(str(path)),
        lambda path: export_arch(str(path), None, str(tmp_path / 'out'), root=str(tmp_path)),
    ):
        with pytest.raises(ValueError, match=r'best_arch\.json is (damaged|not an exported)'):
            read(path)
    assert not marker.exists()


CELLS = dict(
    GOOD, arch=[[3], [0, 1], [4, 0, 2]], space=NASBench201Space(num_cells=1).to_dict(),
    head_channels=0, input_size=[32, 32], router='cream_mm.GATESRouter', next_steps={},
)  # fmt: skip
HOSTILE_CELLS = dict(
    type_to_import=dict(type='MARKER.Space'),
    type_of_a_module=dict(type='cream_mm.spaces.nas_bench_201.NASBench201Space'),
    type_of_something_else=dict(type='cream_mm.PathSampler'),
    type_without_networks=dict(type='cream_mm.BlockSpace'),
    type_of_the_tests=dict(type='cream_mm.ToySpace'),
    type_list=dict(type=['cream_mm.NASBench201Space']),
    type_of_another_kind=dict(type='cream_mm.MBConvSpace'),
    huge_channels=dict(channels=10**12),
    many_channels=dict(channels=60_000),
    channels_as_text=dict(channels='16'),
    half_channels=dict(channels=2.5),
    no_channels=dict(channels=None),
    a_word_of_another_space=dict(channels='identity'),
    huge_depth=dict(num_cells=10**9),
    no_cells=dict(num_cells=0),
    cells_that_are_true=dict(num_cells=True),
    odd_stride=dict(stem_stride=3),
    stride_that_is_true=dict(stem_stride=True),
    unknown_field=dict(width=8),
    name_list=dict(name=['nas_bench_201']),
)


def test_cells_are_read_again(tmp_path):
    path = tmp_path / 'a.json'
    path.write_text(json.dumps(CELLS))
    assert read_arch_file(path) == CELLS
    arch, space = network_of(CELLS, 'here')
    assert space == NASBench201Space(num_cells=1) and arch == space.parse(CELLS['arch'])
    model = create_model(str(path))
    assert (model.head.in_channels, model.head.num_classes) == (64, 10)
    content = arch_content(arch, build_cost_model(space, 32, num_classes=10))
    path.write_text(json.dumps(content))
    assert [read_arch_file(path)[key] for key in ('arch', 'space', 'head_channels')] == [
        CELLS['arch'], CELLS['space'], 0,
    ]  # fmt: skip


@pytest.mark.parametrize('name', HOSTILE_CELLS)
def test_hostile_spaces_of_cells(tmp_path, monkeypatch, name):
    marker = tmp_path / 'marker'
    (tmp_path / 'evil.py').write_text(f'open({str(marker)!r}, "w").close()')
    monkeypatch.syspath_prepend(tmp_path)
    space = {**CELLS['space'], **HOSTILE_CELLS[name]}
    path = tmp_path / 'best_arch.json'
    path.write_text(json.dumps({**CELLS, 'space': space}).replace('MARKER', 'evil'))
    for read in (
        read_arch_file,
        lambda path: create_model(str(path)),
        lambda path: export_arch(str(path), None, str(tmp_path / 'out'), root=str(tmp_path)),
    ):
        with pytest.raises(ValueError, match=r'best_arch\.json is damaged'):
            read(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    'changes',
    [
        dict(arch=[[3], [0, 1], [4, 0, 5]]), dict(arch=[[3], [0, 1]]), dict(arch=[[0], [3], [0]]),
        dict(router=['cream_mm.GATESRouter']), dict(router='x' * 300), dict(head_channels=None),
    ],
    ids=str,
)  # fmt: skip
def test_hostile_entries_beside_a_space_of_cells(tmp_path, changes):
    path = tmp_path / 'best_arch.json'
    path.write_text(json.dumps({**CELLS, **changes}))
    with pytest.raises(ValueError, match=r'best_arch\.json is damaged'):
        read_arch_file(path)


@pytest.mark.parametrize(
    'text',
    ['', '{', '[' * 200_000, '{"a":' * 200_000, '9' * 10_000, '"\\ud800', 'null', '[]', '1e999'],
    ids=lambda text: text[:6] or 'empty',
)
def test_other_text(tmp_path, text):
    path = tmp_path / 'best_arch.json'
    path.write_text(text)
    with pytest.raises(ValueError, match='is not an exported architecture'):
        read_arch_file(path)
    with pytest.raises(ValueError, match=r'best_arch\.json'):
        SearchReport(tmp_path)


def test_bytes_that_are_no_text(tmp_path):
    path = tmp_path / 'best_arch.json'
    path.write_bytes(b'\xff\xfe\x00{')
    with pytest.raises(ValueError, match='not valid JSON'):
        read_json(path)
    with pytest.raises(ValueError, match='not an exported'):
        read_arch_file(path)


@pytest.mark.parametrize(
    'changes',
    [
        dict(entries=5), dict(entries=[5]), dict(entries={'a': 1}), dict(rated='abc'),
        dict(rated=[[1]]), dict(budget=7), dict(entries=[dict(rank='x', arch=10**40)]),
    ],
    ids=str,
)  # fmt: skip
def test_a_board_of_other_types(tmp_path, changes):
    write(tmp_path / 'best_arch.json')
    board = dict(format='cream_mm.board/1', capacity=3, budget={}, entries=[], rated=[])
    (tmp_path / 'board.json').write_text(json.dumps({**board, **changes}))
    try:
        SearchReport(tmp_path).to_html()
    except ValueError as error:
        assert 'board.json' in str(error)


def test_a_board_that_nests_without_end(tmp_path):
    write(tmp_path / 'best_arch.json')
    (tmp_path / 'board.json').write_text('[' * 200_000)
    with pytest.raises(ValueError, match='board.json is not valid JSON: it nests too deeply'):
        SearchReport(tmp_path)


@pytest.mark.parametrize(
    ('kind', 'holdout', 'split'),
    [
        ('cream_mm.ImageFolder', 0.05, dict(holdout=0.05, split_seed=3)),
        ('cream_mm.LabelledImages', 'auto', dict(holdout='auto', split_seed=3)),
        ('cream_mm.UnlabelledImages', 8, None),  # a number of images, and not class by class
    ],
)
def test_the_split_of_images_with_classes_goes_with_an_answer(kind, holdout, split):
    dataset = dict(type=kind, holdout=holdout, split_seed=3, part='train')
    cfg = dict(train_dataloader=dict(dataset=dataset))
    assert run_settings(cfg, dict(type='BN')).get('split') == split
