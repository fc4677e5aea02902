"""Names and shapes of a file against those of a model, without either."""

import pytest
import torch

from cream_mm.checkpoints.load_weights import (
    count_tensors,
    find_mismatch,
    fitting,
    load_weights,
    local_file,
    missing_names,
    name_some,
    pick_weights,
    prefixes,
    surplus_names,
    without_wrappers,
)

OWN = {
    'blocks.0.w': torch.zeros(2, 3),
    'bn.weight': torch.zeros(2),
    'bn.num_batches_tracked': torch.tensor(0),
}


def renamed(prefix, own=OWN):
    return {prefix + name: value + 1 for name, value in own.items()}


@pytest.mark.parametrize('prefix', ['', 'module.', '_orig_mod.', 'module._orig_mod.model.'])
def test_wrappers_are_taken_off(prefix):
    found = without_wrappers(OWN, {**renamed(prefix), 'other': torch.ones(1)})
    assert {k: v.tolist() for k, v in found.items() if k in OWN} == {
        k: v.tolist() for k, v in renamed('').items()
    }


def test_what_is_no_wrapper_stays():
    weights = renamed('student.')
    assert without_wrappers(OWN, weights) is weights
    assert prefixes(OWN, weights) == ['student.']


def test_the_wrapper_under_which_most_fits():
    weights = {**renamed('module.'), 'model.bn.weight': torch.zeros(2)}
    assert set(without_wrappers(OWN, weights)) == set(OWN)


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        ({}, None),
        ({'bn.num_batches_tracked': None}, None),  # younger than some files
        ({'board.images': torch.zeros(1), 'matching.fc.bias': torch.zeros(1)}, None),
        ({'bn.weight': None}, '1 of its 3 tensors .*, 0 of the file .*, first bn.weight'),
        ({'bn.weight': torch.zeros(3)}, '1 of its 3 tensors .*, 0 of the file .*first bn.weight'),
        ({'x': torch.zeros(1)}, '0 of its 3 tensors .*, 1 of the file are not in it, first x'),
    ],
)
def test_what_keeps_weights_from_being_those_of_a_model(change, words):
    weights = {k: v for k, v in {**OWN, **change}.items() if v is not None}
    if words is None:
        assert find_mismatch(OWN, weights) is None
    else:
        with pytest.raises(ValueError, match=words):
            raise ValueError(find_mismatch(OWN, weights))


def test_counts_of_what_fits():
    weights = renamed('a.')
    weights['a.blocks.1.w'] = weights['a.blocks.0.w']
    weights['a.bn.weight'] = torch.zeros(7)
    del weights['a.bn.num_batches_tracked']
    found = fitting(OWN, weights, 'a.')
    assert set(found) == {'blocks.0.w'} and found['blocks.0.w'] is weights['a.blocks.0.w']
    assert missing_names(OWN, found) == ['bn.weight'] and count_tensors(OWN, found) == 2
    assert surplus_names(OWN, weights, 'a.') == ['blocks.1.w']
    assert name_some(['a', 'b\n', 'c', 'd', 'e']) == 'a, b\\n, c and 2 more'


def test_the_first_entry_that_holds_weights():
    content = dict(state_dict_ema={}, state_dict=OWN, epoch=3)
    name, weights = pick_weights(content, 'state_dict_ema', 'state_dict')
    assert name == 'state_dict' and set(weights) == set(OWN)
    name, weights = pick_weights({**OWN, 'epoch': 3}, 'state_dict')
    assert 'bare state dict' in name and set(weights) == set(OWN)
    with pytest.raises(ValueError, match='no weights, neither as state_dict nor by itself'):
        pick_weights(dict(state_dict=3), 'state_dict')


def test_addresses(tmp_path, monkeypatch):
    assert local_file(tmp_path / 'a.pth') == tmp_path / 'a.pth'
    assert str(local_file('C:/a.pth')) == 'C:/a.pth'
    with pytest.raises(ValueError, match='ftp://x/a.pth is neither a file nor an http address'):
        local_file('ftp://x/a.pth')
    fetched = []

    def fetch(url, path):
        fetched.append((url, path))
        torch.save(dict(state_dict=OWN), path)

    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    monkeypatch.setattr(torch.hub, 'download_url_to_file', fetch)
    for _ in range(2):  # fetched once
        path = local_file('https://x.org/nets/a.pth?raw=1')
    assert path.name == 'a.pth' and fetched == [('https://x.org/nets/a.pth?raw=1', str(path))]
    assert set(load_weights(path)) == set(OWN)
