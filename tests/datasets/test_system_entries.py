import pytest

from cream_mm.datasets.system_entries import is_system, without_system

LEFT = (
    '.DS_Store', '._a.jpg', '.ipynb_checkpoints', '.git', '.Trash-1000', '.jpg', '__MACOSX',
    '__pycache__', 'Icon\r', 'Thumbs.db', 'thumbs.db', 'desktop.ini', 'Desktop.ini', '$RECYCLE.BIN',
    'System Volume Information', 'lost+found', '@eaDir', '#recycle', '@Recycle',
)  # fmt: skip
OURS = (
    'ant',
    'a.jpg',
    '_ant',
    '__ant__',
    '@ant',
    '#1',
    '$5',
    'thumbs',
    'lost',
    'Häuser',
    '🐜',
    '0',
    '-',
)


@pytest.mark.parametrize('name', LEFT)
def test_what_systems_leave(name):
    assert is_system(name)


def test_what_is_the_users_own():
    assert without_system([*OURS, *LEFT]) == list(OURS)
