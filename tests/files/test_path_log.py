"""A log of steps that kills, editors and disks have been at."""

import json
import math

import numpy as np
import pytest

from cream_mm.files import Dropped, cut_path_log
from cream_mm.files.path_log import read_path_log
from cream_mm.testing import tiny_space

DAMAGED = [
    b'nonsense',
    b'[' * 100_000,
    b'{"step": 1, "arch": [[0]]',
    b'{"step": -1, "arch": [[0],[0,0],[0,0],[0]], "loss": 1}',
    b'{"step": 1e3, "arch": [[0],[0,0],[0,0],[0]], "loss": 1}',
    b'{"step": true, "arch": [[0],[0,0],[0,0],[0]], "loss": 1}',
    b'{"step": 1, "arch": "[[0],[0,0],[0,0],[0]]", "loss": 1}',
    b'{"step": 1, "arch": [[0],[0,0],[0,0],[0]], "loss": "1"}',
    b'{"step": 1, "arch": [[0],[0,0],[0,0],[0]], "loss": 1e308}',
    b'{"step": 1, "arch": [[0],[0,0],[0,0],[0]], "loss": 1, "teacher_loss": []}',
    b'{"step": 1, "arch": [[0],[0,0],[0,0],[0]], "loss": 1' + b'0' * 400 + b'}',
    b'{"step": 1, "arch": [[0],[0,0],[0,0],[0]], "loss": 1}\xff',
    b'\0' * 1000,
]


@pytest.fixture
def space():
    return tiny_space()


def write(path, space, number=80):
    """Step i has the loss i / 10; every other one has a teacher, whose loss is 1 more."""
    rng, rows = np.random.default_rng(0), []
    for step in range(number):
        row = dict(step=step, arch=space.sample(rng).to_list(), loss=step / 10)
        if step % 2:
            row['teacher_loss'] = row['loss'] + 1
        rows.append(row)
    path.write_text(''.join(f'{json.dumps(row)}\n' for row in rows))
    return rows


def content(path, space, **kwargs):
    archs, losses, teacher_losses = read_path_log(path, space, dropped=Dropped(), **kwargs)
    teacher_losses = [None if math.isnan(loss) else loss for loss in teacher_losses]
    return [arch.to_list() for arch in archs], losses.tolist(), teacher_losses


@pytest.mark.parametrize('end', [0, 1, 50, None])
def test_the_steps_before_the_end(space, tmp_path, end):
    rows = write(tmp_path / 'log.jsonl', space)[:end]
    archs, losses, teacher_losses = content(tmp_path / 'log.jsonl', space, end=end)
    assert archs == [row['arch'] for row in rows]
    assert losses == [row['loss'] for row in rows]
    assert teacher_losses == [row.get('teacher_loss') for row in rows]


@pytest.mark.parametrize('line', DAMAGED, ids=lambda line: str(line[-20:]))
def test_a_damaged_line_costs_itself_alone(space, tmp_path, line):
    path = tmp_path / 'log.jsonl'
    write(path, space)
    whole = content(path, space)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b''.join(lines[:40]) + line + b'\n' + b''.join(lines[40:]))
    assert content(path, space) == whole
    with pytest.raises(ValueError, match='log.jsonl, line 41'):
        read_path_log(path, space)

    # A run that resumes at step 60 goes on with the 60 steps before it, and loses no byte.
    damaged = path.read_bytes()
    message = cut_path_log(path, 60)
    assert path.read_bytes() == b''.join(lines[:60])
    assert 'line 41' in message and '\n' not in message and len(message) < 700
    assert message.endswith(f'The file as it was is {path}.damaged')
    assert (tmp_path / 'log.jsonl.damaged').read_bytes() == damaged
    assert cut_path_log(path, 60) is None


def test_steps_that_stand_twice_or_are_out_of_order(space, tmp_path):
    path = tmp_path / 'log.jsonl'
    write(path, space)
    lines = path.read_text().splitlines(keepends=True)
    whole = content(path, space)
    earlier = [line.replace('"loss": ', '"loss": 1') for line in lines[10:20]]
    path.write_text(''.join(earlier + lines[20:] + lines[:20]))
    assert content(path, space) == whole
    assert cut_path_log(path, 80) is None and path.read_text() == ''.join(lines)


def test_a_step_whose_loss_is_no_number(space, tmp_path):
    path = tmp_path / 'log.jsonl'
    rows = write(path, space)
    whole = content(path, space)
    diverged = json.dumps(dict(rows[0], step=80, loss=float('nan')))
    path.write_text(f'{path.read_text()}{diverged}\n')
    assert content(path, space) == whole
    assert cut_path_log(path, 90) is None and path.read_text().endswith(f'{diverged}\n')


def test_a_log_in_another_encoding(space, tmp_path):
    path = tmp_path / 'log.jsonl'
    write(path, space)
    text, whole = path.read_text(), content(path, space)
    path.write_text(text, encoding='utf-16')
    assert content(path, space) == whole
    assert cut_path_log(path, 80) is None and path.read_text() == text


def test_lines_of_another_space_are_told(space, tmp_path):
    path, dropped = tmp_path / 'log.jsonl', Dropped()
    write(path, tiny_space(depths=(3, 3)), number=40)
    assert len(read_path_log(path, space, dropped=dropped)[0]) == 0
    assert '40 damaged lines' in str(dropped) and 'line 1: stage 1 of' in str(dropped)


def test_no_file(space, tmp_path):
    assert cut_path_log(tmp_path / 'log.jsonl', 3) is None
    with pytest.raises(FileNotFoundError, match='PathLogHook'):
        read_path_log(tmp_path / 'log.jsonl', space)
