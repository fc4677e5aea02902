"""A network that is a slice of another one: what files say of it, and what they may not say."""

import copy
import json

import pytest

from cream_mm.costs import Budget, build_cost_model
from cream_mm.files.arch_file import arch_content, network_of, read_arch_file
from cream_mm.files.front_file import front_content, read_steps
from cream_mm.files.slice_of import check_slice, slice_content
from cream_mm.spaces import ElasticSpace
from cream_mm.testing import tiny_space

SPACE = ElasticSpace(
    'lite0',
    [[0], [2, 2], [5, 5], [2, 2, 2], [5, 5, 5], [5, 5, 5, 5], [2], [0]],
    expansions=(6, 3),
    input_sizes=(64, 48),
)
COSTS = build_cost_model(SPACE, 64, num_classes=3)
# Of the second stage the layer that can be left out is; all other layers are as in the full one.
PATH = SPACE.parse([[0, 2], [0, 0], [0] * 3, [0] * 3, [0] * 4, [0], [1]])
NETWORK, ITS_COSTS = COSTS.network(PATH)


def content():
    sliced = slice_content(COSTS, PATH)
    return json.loads(json.dumps(arch_content(NETWORK, ITS_COSTS, **sliced)))


def test_an_answer_tells_its_slice_and_is_read_again(tmp_path):
    found = content()
    assert found['input_size'] == [48, 48] and found['arch'][1] == [2]
    assert found['slice_of'] == dict(
        arch=PATH.to_list(), space=SPACE.to_dict(),
        full_costs=COSTS.cost(SPACE.full_path).in_units(),
    )  # fmt: skip
    (tmp_path / 'a.json').write_text(json.dumps(found))
    again = read_arch_file(tmp_path / 'a.json')
    assert again == found and network_of(again, 'there') == SPACE.network(PATH)
    # The full network and its costs at its own size, by hand.
    full = build_cost_model(SPACE.skeleton, 64, num_classes=3).cost(SPACE.full).in_units()
    assert found['slice_of']['full_costs'] == pytest.approx(full)


def test_other_searches_say_nothing():
    space = tiny_space()
    assert slice_content(build_cost_model(space, 8, num_classes=3), space.decode([0] * 4)) == {}
    check_slice({}, NETWORK, ITS_COSTS.space)


def test_a_row_of_the_front_has_its_own_size(tmp_path):
    rows = [(1.0, PATH), (2.0, SPACE.full_path)]
    front = front_content(
        Budget(COSTS), 'macs_m', score='cross_entropy', higher_is_better=False, by='effects',
        steps=rows, references=[('costliest', SPACE.full_path)], published={}, answer=PATH,
        ratings={path: dict(loss=1.0) for _, path in rows},
    )  # fmt: skip
    small, large = front['steps']
    assert (small['input_size'], large['input_size']) == ([48, 48], [64, 64])
    assert small['costs'] == ITS_COSTS.cost(NETWORK).in_units()
    assert large['costs'] == large['slice_of']['full_costs']
    assert network_of(large, 'there')[0].to_list() == SPACE.full.to_list()
    (tmp_path / 'front.json').write_text(json.dumps(front))
    assert read_steps(tmp_path / 'front.json')[1][0]['slice_of']['arch'] == PATH.to_list()
    for size in ([48], [0, 48], ['48', '48'], 48, None):
        front['steps'][0]['input_size'] = size
        (tmp_path / 'front.json').write_text(json.dumps(front))
        with pytest.raises(ValueError, match='step 0 has no "input_size" of two sides in pixels'):
            read_steps(tmp_path / 'front.json')


HOSTILE = dict(
    words=('slice_of', 'MARKER'),
    unknown_key=('slice_of', dict(arch=[[0]], space={}, evil=1)),
    another_network=('arch', [[0, 0], [0, 0], [0] * 3, [0] * 3, [0] * 4, [0], [1]]),
    no_such_size=('arch', [[0, 2], [0, 0], [0] * 3, [0] * 3, [0] * 4, [0], [2]]),
    flat=('arch', [0] * 17),
    endless=('arch', [[0] * 10**5]),
    a_class=('space', dict(type='subprocess.Popen')),
    no_elastic_space=('space', dict(type='MBConvSpace')),
    preset_to_read=('skeleton', 'lite0'),
    another_class=('skeleton', dict(type='NAOSpace')),
    huge_widths=('skeleton', dict(widths=[10**9] * 5)),
    full_as_text=('full', 'lite0'),
    full_of_words=('full', [['0']]),
    endless_full=('full', [[0]] * 2000),
    endless_steps=('expansions', list(range(1000, 0, -1))),
    nan_step=('expansions', [float('nan')]),
    even_kernel=('kernels', [4]),
    huge_kernel=('kernels', [10**9 + 1]),
    huge_image=('input_sizes', [10**9]),
    size_as_text=('input_sizes', '128'),
    costs_of_words=('full_costs', dict(macs_m='1')),
)


@pytest.mark.parametrize('name', HOSTILE)
def test_what_no_search_writes(name):
    key, value = HOSTILE[name]
    hostile = copy.deepcopy(content())
    own = hostile['slice_of']
    holder = hostile if key == 'slice_of' else own if key in own else own['space']
    assert key in holder
    holder[key] = value
    with pytest.raises(ValueError, match='^there is damaged: .{1,300}$'):
        network_of(hostile, 'there')
