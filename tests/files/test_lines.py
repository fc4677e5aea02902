import os

import pytest

from cream_mm.files import lines, mend_lines, set_aside


@pytest.mark.parametrize(
    ('before', 'after'),
    [
        (b'', b''),
        (b'ab', b''),
        (b'a\nb\n', b'a\nb\n'),
        (b'a\nb', b'a\n'),
        (b'a\n' + b'x' * 200_000, b'a\n'),
        ('ß\nb\nc'.encode('utf-16'), 'ß\nb\n'.encode()),
        ('ß\nb\n'.encode('utf-8-sig'), 'ß\nb\n'.encode()),
    ],
)
def test_a_file_is_ready_to_go_on(tmp_path, before, after):
    path = tmp_path / 'a.jsonl'
    path.write_bytes(before)
    mend_lines(path)
    assert path.read_bytes() == after and os.listdir(tmp_path) == ['a.jsonl']


@pytest.mark.parametrize('links', [True, False])
def test_what_is_set_aside_stays(tmp_path, monkeypatch, links):
    def refuse(*args):
        raise OSError

    if not links:
        monkeypatch.setattr(lines.os, 'link', refuse)
    path = tmp_path / 'a.jsonl'
    names = []
    for text in ('one', 'two'):
        path.write_text(text)
        names.append(set_aside(path).name)
        path.unlink()
    assert names == ['a.jsonl.damaged', 'a.jsonl.damaged1']
    assert [(tmp_path / name).read_text() for name in names] == ['one', 'two']
