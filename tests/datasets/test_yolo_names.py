"""Files of class names."""

import json

import pytest

from cream_mm.datasets.yolo_names import clean_names, read_names


@pytest.fixture
def write(tmp_path):
    def write(content, name='classes.txt'):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.mark.parametrize(
    'content',
    [
        'traffic light\ncat\n',
        'traffic light\r\ncat\r\n\r\n',
        '\ufefftraffic light\ncat\n\n \n',
        'traffic light\ncat'.encode('utf-16'),
    ],
)
def test_lines_marks_and_an_empty_end(write, content):
    notes = []
    assert read_names(write(content), notes) == ['traffic light', 'cat']
    assert not notes


def test_blanks_are_taken_off_with_a_line(write):
    notes = []
    path = write(' ant\nbee \t\ncat\n')
    assert read_names(path, notes) == ['ant', 'bee', 'cat']
    assert notes == [
        f"{path}: class names with blanks around them: 2, taken without (' ant', 'bee \\t')"
    ]


@pytest.mark.parametrize(
    ('content', 'why'),
    [
        ('', 'has no class name'),
        ('\n\n', 'has no class name'),
        ('ant\n\nbee\n', 'name 1 (counted from 0) is empty, though others follow'),
        ('ant\nbee\nant \n', "the class 'ant' stands twice, as 0 and 2"),
    ],
)
def test_what_cannot_be_numbered(write, content, why):
    with pytest.raises(ValueError, match='classes.txt') as caught:
        read_names(write(content))
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ('encoding', 'name', 'text'),
    [('gbk', 'GBK', '\u732b\u72d7'), ('cp1252', 'Windows-1252', 'caf\xe9')],
)
def test_another_encoding_is_named(write, encoding, name, text):
    with pytest.raises(ValueError, match='line 2: not UTF-8 text') as caught:
        read_names(write(f'ant\n{text}\n'.encode(encoding)))
    assert f'It may be {name}, as which it reads {text!r}' in str(caught.value)


def test_notes_of_label_studio(write):
    categories = [dict(id=0, name='ant'), dict(id=1, name='bee ')]
    path = write(json.dumps(dict(categories=categories, info={})), 'notes.json')
    assert read_names(path) == ['ant', 'bee']
    path = write(json.dumps(dict(categories=categories[::-1])), 'notes.json')
    with pytest.raises(ValueError, match='not 0, 1, 2'):
        read_names(path)
    with pytest.raises(ValueError, match='no "categories"'):
        read_names(write('[]', 'notes.json'))


def test_a_name_in_an_index():
    with pytest.raises(ValueError, match='data.yaml, line 3: the class .a. stands twice'):
        clean_names(['a', 'a'], 'data.yaml, line 3')
