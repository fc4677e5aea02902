"""Files that kills, editors, spreadsheets and strangers leave: the content, or one clear error."""

import codecs
import json
import math
import os

import pytest

from cream_mm.files import (
    Dropped,
    read_bytes,
    read_csv,
    read_json,
    read_json_lines,
    read_lines,
    read_text,
    shorten,
)
from cream_mm.files import read as module

CONTENT = {'name': 'Schild 盾 ß', 'values': [1, -2.5, 1e-7, True, None, 10**20]}


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'a.json'


@pytest.mark.parametrize(
    'encoding', ['utf-8', 'utf-8-sig', 'utf-16', 'utf-32', 'utf-16-le', 'utf-16-be']
)
def test_every_encoding_with_a_mark(path, encoding):
    text = json.dumps(CONTENT, ensure_ascii=False)
    marks = {'utf-16-le': codecs.BOM_UTF16_LE, 'utf-16-be': codecs.BOM_UTF16_BE}
    path.write_bytes(marks.get(encoding, b'') + text.encode(encoding))
    assert read_text(path) == text and read_json(path) == CONTENT
    path.write_bytes(marks.get(encoding, b'') + f'{text}\n\n{text}\n'.encode(encoding))
    assert list(read_json_lines(path)) == [(f'{path}, line {n}', CONTENT) for n in (1, 3)]
    path.write_bytes(marks.get(encoding, b'') + 'a,b\r\n1,ß\r\n'.encode(encoding))
    header, rows = read_csv(path)
    assert header == ['a', 'b'] and list(rows) == [(f'{path}, line 2', {'a': '1', 'b': 'ß'})]


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        (b'', 'is not valid JSON: Expecting value: line 1'),
        (b'{"a": 1', "is not valid JSON: Expecting ',' delimiter"),
        (b'{}\n\xe9', 'line 2: not UTF-8 text .* Save it as UTF-8'),
        (b'\xff\xfe{', 'line 1: not UTF-16 text'),
        (b'[' * 100_000, 'it nests too deeply'),
        (b'{"a":' * 100_000, 'it nests too deeply'),
        (b'[' * 101 + b']' * 101, 'it nests too deeply'),
        (b'1' * 301, 'a number of 301 digits'),
        (b'1' * 5000, 'a number of 5000 digits'),
        (b'[1e999]', '1e999 is out of range'),
        (b'[NaN]', 'NaN is no number'),
        (b'-Infinity', '-Infinity is no number'),
        (b'{"a": 1, "b": 2, "a": 3}', 'the key "a" stands twice'),
        (b'[' + b'1,' * 1_000_001 + b'1]', 'it holds over 1,000,000 values'),
    ],
    ids=lambda value: str(value[:12]),
)
def test_json_that_is_refused(path, content, words):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=words) as error:
        read_json(path)
    assert str(path) in str(error.value) and len(str(error.value)) < len(str(path)) + 150
    if content.count(b'\n') == 0 and content:
        path.write_bytes(b'{"x": 1}\n' + content + b'\n{"x": 2}\n')
        with pytest.raises(ValueError, match='a.json, line 2'):
            list(read_json_lines(path))


def test_json_at_the_limits(path):
    path.write_text('[' * 100 + '9' * 300 + ']' * 100)
    value = read_json(path)
    for _ in range(100):
        (value,) = value
    assert value == int('9' * 300) and math.isfinite(float(value))
    path.write_text('[NaN, -Infinity, 1e999]')
    nan, low, high = read_json(path, finite=False)
    assert math.isnan(nan) and (low, high) == (-math.inf, math.inf)


def test_large_files_of_a_data_set_have_no_such_limits(path):
    path.write_text('[' + '1,' * 1_000_001 + '1]')
    assert len(read_json(path, max_values=None)) == 1_000_002
    path.write_text('[' * 100_000)
    with pytest.raises(ValueError, match='it nests too deeply'):
        read_json(path, max_values=None)


READERS = [
    read_bytes,
    read_text,
    read_json,
    lambda path: list(read_lines(path)),
    lambda path: list(read_json_lines(path)),
    read_csv,
]


@pytest.mark.parametrize('read', READERS)
def test_only_regular_files(path, read):
    with pytest.raises(FileNotFoundError, match='no file .*a.json'):
        read(path)
    path.symlink_to('/dev/zero')
    with pytest.raises(ValueError, match='a.json is a [a-z]+, not a regular file'):
        read(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ValueError, match='a.json is a [a-z]+, not a regular file'):
        read(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(ValueError, match='a.json is a [a-z]+, not a regular file'):
        read(path)
    loop = path.with_name('loop')
    loop.symlink_to(loop)
    with pytest.raises(OSError, match='cannot read .*loop'):
        read(loop)


@pytest.mark.parametrize('read', READERS)
def test_a_sparse_file_is_not_read(path, read):
    with open(path, 'wb') as file:
        file.truncate(9 * 2**40)  # nothing of it is on the disk
    with pytest.raises(ValueError, match='a.json is too large: 9,895,604,649,984 bytes'):
        read(path)


def test_damaged_lines_are_counted_and_the_rest_is_kept(path):
    path.write_bytes(b'{"i": 0}\n[1]\n\n{"i": 1}\n{"i": \xff}\n{"i": NaN}\r\n{"i": 2}\r\n{"i": 3')
    dropped = Dropped()
    assert [record['i'] for _, record in read_json_lines(path, dropped)] == [0, 1, 2]
    assert dropped.count == 3
    assert str(dropped) == (
        f'3 damaged lines are left out: {path}, line 2: not a JSON object (something else) '
        'and others'
    )
    with pytest.raises(ValueError, match='line 2: not a JSON object'):
        list(read_json_lines(path))


@pytest.mark.parametrize('end', ['', '\n', '{"i": 1', '{"i": 1}', '{"i": 1}\n'])
def test_the_last_line(path, end):
    path.write_text('{"i": 0}\n' + end)
    records = [record['i'] for _, record in read_json_lines(path)]  # never an error
    assert records == [0, 1] if '}' in end else [0]


def test_a_line_without_end_is_passed_over(path, monkeypatch):
    monkeypatch.setattr(module, 'MAX_LINE_BYTES', 100)
    long = b'{"i": "' + b'x' * 1000 + b'"}'
    path.write_bytes(b'{"i": 0}\n' + long + b'\n{"i": 1}\n' + long)
    dropped = Dropped()
    assert [record['i'] for _, record in read_json_lines(path, dropped)] == [0, 1]
    assert dropped.count == 2 and 'line 2: not a JSON object (longer than' in dropped.first
    assert [number for number, _ in read_lines(path)] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        ('a,b\n1,2\n1,"' + '1' * 140_000 + '"\n', 'line 3: field larger than field limit'),
        ('a,b\n1,2,3\n', 'line 2: more fields than the header has'),
        ('a,b,a\n1,2,3\n', 'line 1: column a stands twice'),
        (b'a,b\n1,2\n\xe9,1\n', 'line 3: not UTF-8 text'),
    ],
)
def test_tables_that_are_none(path, content, words):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=f'a.json, {words}'):
        list(read_csv(path)[1])


def test_rows_of_a_table_know_where_they_begin(path):
    path.write_text('a,b\n\n1,"x\ny"\n2,\n3\n')
    header, rows = read_csv(path)
    assert list(rows) == [
        (f'{path}, line 3', {'a': '1', 'b': 'x\ny'}),
        (f'{path}, line 5', {'a': '2'}),
        (f'{path}, line 6', {'a': '3'}),
    ]
    path.write_text('')
    assert read_csv(path)[0] == []


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-16'])
def test_the_start_of_a_file(path, encoding):
    path.write_bytes('ab\ncd'.encode(encoding))
    size = path.stat().st_size
    assert module.read_start(path, size + 1) == ('ab\ncd', True)
    assert module.read_start(path, size) == ('ab\ncd', False)  # there may be more
    assert module.read_start(path, size - 2)[0].startswith('ab\n')
    path.write_bytes(b'a\xff')
    assert module.read_start(path, 9) == ('a\ufffd', True)


def test_words_for_a_message():
    assert shorten('a\n  b\tc') == 'a b c'
    assert shorten('x' * 10**6, 20) == 'x' * 17 + '...'
    assert shorten('\ud800!') == '?!'
