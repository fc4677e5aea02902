"""Classes of a table of boxes, and their order."""

import pytest

from cream_mm.datasets.box_classes import check_case, number_classes, read_class_names


def test_files_of_classes(tmp_path):
    path = tmp_path / 'classes.csv'
    path.write_text('bee,0\nant,1\n')
    other = tmp_path / 'notes.csv'
    other.write_text('x,0\n')
    assert read_class_names([str(other), str(path)]) == [('bee', '0'), ('ant', '1')]
    path.write_text('bee\nant\n')
    assert read_class_names([str(path)]) == []


@pytest.mark.parametrize(
    ('labels', 'pairs', 'classes', 'numbers'),
    [
        ('bee ant', [], ['ant', 'bee'], [1, 0]),
        ('bee ant', [('bee', '1'), ('cat', '2'), ('ant', '0')], ['ant', 'bee', 'cat'], [1, 0]),
        ('/m/2 /m/1', [('/m/1', 'bee'), ('/m/2', 'ant')], ['ant', 'bee'], [0, 1]),
        ('10 9.0', [], ['9', '10'], [1, 0]),
        ('1 x', [('/m/1', 'bee')], ['1', 'x'], [0, 1]),
    ],
)
def test_numbers_of_classes(labels, pairs, classes, numbers):
    labels = labels.split()
    found = number_classes('set', dict.fromkeys(labels, 1), pairs, [])
    assert found == (classes, dict(zip(labels, numbers)))


def test_names_of_several_codes_are_one_class():
    pairs = [('/m/1', 'bee'), ('/m/2', 'bee')]
    found = number_classes('set', {'/m/1': 1, '/m/2': 2}, pairs, [])
    assert found == (['bee'], {'/m/1': 0, '/m/2': 0})


def test_of_names_that_differ_in_case_one_may_have_boxes():
    check_case('set', dict(Ant=0, ant=3))
    with pytest.raises(ValueError, match=r"set: its classes 'Ant' \(1 boxes\), 'ant' \(3 boxes\)"):
        check_case('set', dict(Ant=1, ant=3))
