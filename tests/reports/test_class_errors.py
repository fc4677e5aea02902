"""Accuracy by class, the confusion matrix and the wrong images of a page."""

import json

import numpy as np
import pytest
from PIL import Image

from cream_mm.reports.class_errors import (
    MAX_MATRIX,
    MAX_PICTURES,
    MAX_ROWS,
    ClassErrors,
    read_class_errors,
)


def test_two_classes():
    errors = ClassErrors(['ant', 'bee'], np.array([[90, 10], [5, 15]]))
    assert (errors.num_right, errors.num_images) == (105, 120)
    assert errors.top1_pct == 87.5
    assert errors.mean_pct == pytest.approx(82.5)  # of 90 % and 75 %
    assert [(r['name'], r['number'], r['pct']) for r in errors.rows()] == [
        ('bee', 20, 75.0),
        ('ant', 100, 90.0),
    ]
    assert errors.rows()[0]['taken_for'] == ('ant', 5)
    # Wilson's interval of 15 of 20.
    assert [errors.rows()[0][k] for k in ('low', 'high')] == pytest.approx([53.1, 88.8], abs=0.1)
    matrix = errors.matrix()
    assert matrix['names'] == ['ant', 'bee'] and not matrix['has_others']
    assert [[tuple(cell) for cell in row] for row in matrix['rows']] == [
        [(90, 0.9), (10, 0.1)],
        [(5, 0.25), (15, 0.75)],
    ]
    assert errors.pairs() == [
        dict(label='ant', predicted='bee', number=10, of=100),
        dict(label='bee', predicted='ant', number=5, of=20),
    ]
    assert errors.left_out == []


def test_of_a_hundred_classes_those_with_errors_are_shown():
    counts = np.diag(np.full(100, 10))
    counts[99, 3] = 6  # 3 is wrong as what 99 is taken for
    counts[50, 98] = 2
    counts[40] = 0  # no images
    errors = ClassErrors([f'class {k}' for k in range(100)], counts)
    matrix = errors.matrix()
    assert len(matrix['names']) == MAX_MATRIX and matrix['has_others']
    assert {'class 3', 'class 50', 'class 98', 'class 99'} <= set(matrix['names'])
    row = matrix['rows'][matrix['names'].index('class 99')]
    assert sum(cell.number for cell in row) == 16 and row[-1].number == 0
    assert row[matrix['names'].index('class 3')] == (6, 0.375)
    # The diagonal is where the class itself is, also behind classes that are left out.
    diagonal = [row[place].number for place, row in enumerate(matrix['rows'])]
    assert diagonal == [10] * MAX_MATRIX
    rows = errors.rows()
    assert len(rows) == MAX_ROWS and rows[0]['name'] == 'class 99'
    assert 'class 40' not in [row['name'] for row in rows]
    assert errors.left_out == [
        f'the matrix has the {MAX_MATRIX} of 100 classes with the most errors',
        f'{99 - MAX_ROWS} classes with at least 100.0 % are not in the table',
    ]


def test_what_leaves_the_matrix_is_in_its_last_column():
    counts = np.zeros((MAX_MATRIX + 6, MAX_MATRIX + 6), int)
    counts[0, 1:] = 1  # all others have one error each, but the last ones, which have two
    counts[1:, 0] = np.where(np.arange(1, len(counts)) >= 7, 1, 0)
    matrix = ClassErrors([str(k) for k in range(len(counts))], counts).matrix()
    assert matrix['names'][0] == '0' and matrix['names'][1] == '7'
    assert matrix['rows'][0][-1].number == 6  # taken for 1 to 6


@pytest.fixture
def wrong(tmp_path):
    for i in range(4):
        Image.new('RGB', (30, 30), (60 * i, 0, 0)).save(tmp_path / f'{i}.png')
    return [
        dict(path=str(tmp_path / f'{i}.png'), label=0, predicted=1, score=0.9 - i / 10)
        for i in range(4)
    ]


def test_pictures_are_of_several_confusions(tmp_path, wrong):
    more = [dict(wrong[3], label=1, predicted=2, path=str(tmp_path / 'gone.png'))]
    more += [dict(wrong[3], label=2, predicted=0)]
    errors = ClassErrors(['ant', 'bee', 'cat'], np.eye(3, dtype=int), wrong + more)
    pictures = errors.pictures()
    assert [(p['name'], p['label'], p['predicted']) for p in pictures] == [
        ('0.png', 'ant', 'bee'),
        ('1.png', 'ant', 'bee'),
        ('3.png', 'cat', 'ant'),
    ]
    assert pictures[1]['pct'] == pytest.approx(80)
    assert errors.left_out == ['1 wrong images cannot be read any more']
    assert len(pictures) <= MAX_PICTURES


CONTENT = dict(
    format='cream_mm.errors/1', images='3 images of insects', weights='of epoch 2',
    classes=['ant', '<b>bee'], num_images=3, counts=[[0, 0, 2], [1, 0, 1]],
    wrong=[dict(path='x.jpg', label=1, predicted=0, score=0.75)],
)  # fmt: skip


def test_reading(tmp_path):
    assert read_class_errors(tmp_path) is None
    (tmp_path / 'errors.json').write_text(json.dumps(CONTENT))
    errors = read_class_errors(tmp_path)
    assert errors.counts.tolist() == [[2, 0], [1, 0]]
    assert errors.images == '3 images of insects' and errors.weights == 'of epoch 2'


@pytest.mark.parametrize(
    'change',
    [
        dict(counts=[[0, 2, 1]]),
        dict(counts=[[0, 0, -1]]),
        dict(counts=[[0, 0]]),
        dict(classes=[]),
        dict(classes=[1, 2]),
        dict(wrong=[dict(path='x.jpg', label=1, predicted=5, score=0.75)]),
        dict(wrong=[dict(path=3, label=1, predicted=0, score=0.75)]),
        dict(wrong=[dict(path='x.jpg', label=1, predicted=0, score='high')]),
        dict(wrong=None),
        dict(images=7),
    ],
)
def test_what_no_run_writes_is_refused(tmp_path, change):
    (tmp_path / 'errors.json').write_text(json.dumps(CONTENT | change))
    with pytest.raises(ValueError, match='errors.json holds what no run writes'):
        read_class_errors(tmp_path)


def test_another_format(tmp_path):
    (tmp_path / 'errors.json').write_text(json.dumps(dict(format='cream_mm.errors/9')))
    with pytest.raises(ValueError, match="'cream_mm.errors/9', this report reads"):
        read_class_errors(tmp_path)
