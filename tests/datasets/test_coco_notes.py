"""The lines about what was mended."""

from cream_mm.datasets.coco_notes import Notes


def test_a_line_has_the_file_a_count_and_the_first_examples():
    notes = Notes('a.json')
    assert notes.lines() == []
    notes.totals.update(annotations=9, images=2)
    for i in range(5):
        notes.add('orphan', f'annotation {i}')
    notes.add('size_wrong', 'x' * 300)
    notes.add('all_crowd', count=9)
    notes.add('text', 'a\nb')
    notes.add('encoding')
    lines = notes.lines()
    assert lines[0] == (
        'a.json: of images that the file does not list: 5 of 9 annotations, left out '
        '(annotation 0, annotation 1, annotation 2, ...)'
    )
    assert ': 1 of 2 images, ' in lines[1] and len(lines[1]) < 260
    assert lines[2].endswith(': 9 of 9 annotations, iscrowd is taken as 0')
    assert lines[3].endswith(': 1 values, read as numbers (a b)')
    assert lines[4] == 'a.json: not plain UTF-8: read as its first bytes say'
    assert notes.count('orphan') == 5 and notes.count('crowd') == 0
