"""Effects from a log of training losses, against known effects."""

import json
import sys

import numpy as np
import pytest
from scipy.stats import kendalltau

from cream_mm.search import combined, training_effects
from cream_mm.testing import tiny_space


@pytest.fixture
def space():
    return tiny_space()


def write(path, space, number=600, noise=0.3, seed=0):
    """A loss that falls over time, plus an effect per layer and choice, plus noise."""
    rng = np.random.default_rng(seed)
    effects = rng.normal(scale=0.2, size=(space.num_layers, len(space.choices)))
    lines = []
    for step in range(number):
        flat = rng.integers(len(space.choices), size=space.num_layers)
        quality = effects[np.arange(space.num_layers), flat].sum()
        loss = 1 + 2 * np.exp(-step / 100) - quality + rng.normal(scale=noise)
        arch = space.decode(flat.tolist()).to_list()
        lines.append(json.dumps(dict(step=step, arch=arch, loss=loss)))
    path.write_text('\n'.join(lines) + '\n')
    return effects


def all_paths(space):
    layers = [range(len(space.choices))] * space.num_layers
    flat = np.stack(np.meshgrid(*layers), axis=-1).reshape(-1, space.num_layers)
    return [space.decode(row.tolist()) for row in flat], flat


def test_effects_are_found_under_trend_and_noise(space, tmp_path):
    effects = write(tmp_path / 'log.jsonl', space)
    archs, flat = all_paths(space)
    truth = effects[np.arange(space.num_layers), flat].sum(axis=1)
    predicted = training_effects(tmp_path / 'log.jsonl', space).predict(archs)
    assert kendalltau(predicted, truth)[0] > 0.8
    assert np.polyfit(truth, predicted, 1)[0] == pytest.approx(1, abs=0.25)  # nats, not signs


@pytest.mark.parametrize('first', [0, 100, 390])
def test_a_teacher_on_the_same_images_takes_their_difficulty_out(space, tmp_path, first):
    """Steps from ``first`` on have a teacher; steps 200 to 399 are fitted."""
    rng = np.random.default_rng(1)
    effects = rng.normal(scale=0.1, size=(space.num_layers, len(space.choices)))
    places = np.arange(space.num_layers)
    rows = []
    for step in range(400):
        flat = rng.integers(len(space.choices), size=space.num_layers)
        images = rng.normal(scale=2) + np.exp(-step / 50)
        row = dict(step=step, arch=space.decode(flat.tolist()).to_list())
        row['loss'] = 3 + images - effects[places, flat].sum() + rng.normal(scale=0.02)
        if step >= first:
            row['teacher_loss'] = 2.9 + images + rng.normal(scale=0.1)
        rows.append(row)
    files = tmp_path / 'with.jsonl', tmp_path / 'without.jsonl'
    for file, keys in zip(files, (rows[0].keys() | rows[-1].keys(), {'step', 'arch', 'loss'})):
        lines = [json.dumps({k: v for k, v in row.items() if k in keys}) for row in rows]
        file.write_text('\n'.join(lines) + '\n')
    archs, flat = all_paths(space)
    truth = effects[places, flat].sum(axis=1)
    with_teacher, without = (training_effects(f, space, share=0.5).predict(archs) for f in files)
    if first == 390:  # ten of 200 steps: as good as none, and no harm
        assert np.corrcoef(with_teacher, without)[0, 1] > 0.9
    else:
        assert kendalltau(without, truth)[0] < 0.7
        assert kendalltau(with_teacher, truth)[0] > 0.85
        assert np.polyfit(truth, with_teacher, 1)[0] == pytest.approx(1, abs=0.1)


def test_bad_logs(space, tmp_path):
    path = tmp_path / 'log.jsonl'
    with pytest.raises(FileNotFoundError, match='PathLogHook'):
        training_effects(path, space)
    write(path, space, number=14)
    with pytest.raises(ValueError, match=r'has 14 steps of .* \(15 at least\): train more'):
        training_effects(path, space)
    with open(path, 'a') as file:
        file.write('{"step": 3}\n')
    with pytest.raises(ValueError, match='line 15'):
        training_effects(path, space)
    for line in ('7', '{"step": 3, "arch": [[0]], "loss": 1}', '{"step": 3, "arch": 1, "loss": 1}'):
        path.write_text(f'{line}\n')
        with pytest.raises(ValueError, match='line 1: '):
            training_effects(path, space)


def test_end_leaves_later_steps_out(space, tmp_path):
    path = tmp_path / 'log.jsonl'
    write(path, space, number=80)
    whole = training_effects(path, space, end=50)
    path.write_text(''.join(path.read_text().splitlines(keepends=True)[:50]))
    assert whole.effects() == training_effects(path, space).effects()


def test_a_damaged_line_is_told_and_costs_itself_alone(space, tmp_path, monkeypatch):
    path, told = tmp_path / 'log.jsonl', []
    write(path, space, number=80)
    module = sys.modules[training_effects.__module__]  # the package has the function by this name
    monkeypatch.setattr(module, 'print_log', lambda text, *_, **kwargs: told.append(text))
    whole = training_effects(path, space).effects()
    assert told == []
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(''.join([*lines[:40], 'nonsense\n', *lines[40:]]))
    assert training_effects(path, space).effects() == whole
    assert len(told) == 1 and '1 damaged line is left out' in told[0] and 'line 41' in told[0]


def test_a_log_of_another_space_is_told(space, tmp_path):
    path = tmp_path / 'log.jsonl'
    write(path, tiny_space(depths=(3, 3)), number=40)
    with pytest.raises(ValueError, match='0 steps of .*; 40 damaged lines .*line 1: stage 1 of'):
        training_effects(path, space)


def test_combined_weighs_scores_alike():
    a, b = np.array([0.0, 1.0, 2.0]), np.array([0.0, 500.0, -500.0])
    found = combined(a, b)
    assert found == pytest.approx(a / a.std() + b / b.std())
    assert combined(a, [3.0] * 3) == pytest.approx(combined(a) + 3)  # a constant changes no order
