import json

import pytest

from cream_mm.costs import Budget, Cost, build_cost_model
from cream_mm.files.front_file import FRONT_FORMAT, front_content, read_steps
from cream_mm.testing import tiny_space

SPACE = tiny_space()
COSTS = build_cost_model(SPACE, 8, num_classes=3, head_channels=16)
SMALL, LARGE, OTHER = (SPACE.decode(flat) for flat in ([0] * 4, [1] * 4, [0, 1, 0, 1]))


def content():
    ratings = {SMALL: dict(loss=1.5), LARGE: dict(loss=1.0), OTHER: dict(loss=1.25)}
    return front_content(
        Budget(COSTS, macs_m=(None, 0.5)),
        'macs_m',
        score='cross_entropy',
        higher_is_better=False,
        by='effects',
        steps=[(0.25, SMALL), (0.5, LARGE)],
        references=[('random', OTHER)],
        published=dict(known=Cost(macs=2_000_000, params=3_000)),
        answer=LARGE,
        ratings=ratings,
    )


def row(arch, loss, **more):
    costs = COSTS.cost(arch).in_units()
    return dict(more, arch=arch.to_list(), costs=costs, rating=dict(loss=loss))


def test_what_it_holds():
    found = content()
    published = found['references'].pop()
    assert published['name'] == 'known' and published['arch'] is published['rating'] is None
    assert published['costs']['macs_m'] == 2 and published['costs']['params_m'] == 0.003
    assert found == dict(
        format=FRONT_FORMAT,
        cost='macs_m',
        score='cross_entropy',
        higher_is_better=False,
        by='effects',
        budget=dict(macs_m=[None, 0.5]),
        steps=[row(SMALL, 1.5, bound=0.25), row(LARGE, 1.0, bound=0.5)],
        references=[row(OTHER, 1.25, name='random')],
        answer=row(LARGE, 1.0),
    )


def test_a_run_goes_on_with_its_steps(tmp_path):
    path = tmp_path / 'front.json'
    path.write_text(json.dumps(content()))
    assert read_steps(path) == ('macs_m', content()['steps'])


@pytest.mark.parametrize('text', ['[]', '{"steps": []}', '{"format": "cream_mm.front/1"}'])
def test_what_is_no_set_of_answers(tmp_path, text):
    path = tmp_path / 'front.json'
    with pytest.raises(FileNotFoundError, match='no .*front.json; a search writes it'):
        read_steps(path)
    path.write_text(text)
    with pytest.raises(ValueError, match='front.json is no set of answers'):
        read_steps(path)


@pytest.mark.parametrize('key', ['arch', 'costs'])
def test_a_step_that_lacks_something(tmp_path, key):
    path, broken = tmp_path / 'front.json', content()
    del broken['steps'][1][key]
    path.write_text(json.dumps(broken))
    with pytest.raises(ValueError, match='step 1 has no .arch. with its .costs.'):
        read_steps(path)
