"""Commands that worked in a folder: noted as they were given, read so that they can be pasted."""

import shlex

from cream_mm.files.commands import COMMANDS, note_command, read_commands


def test_options_come_back_as_they_were_given(tmp_path):
    given = [
        'tools/train.py',
        'my config.py',
        '--cfg-options',
        'budget.macs_m=[300,400]',
        "x='a b'",
    ]
    note_command(tmp_path, given)
    note_command(tmp_path, given)  # a second time: told once
    note_command(tmp_path, ['/repo/tools/test.py', 'a.py', 'b.pth', '--x=$(rm *)'])
    (first, second) = read_commands(tmp_path)
    assert first == ['python', *given]
    assert shlex.split(shlex.join(second))[-1] == '--x=$(rm *)' and "'--x=$(rm *)'" in shlex.join(
        second
    )


def test_several_processes(tmp_path):
    argv = ['tools/train.py', 'a.py', '--launcher', 'pytorch']
    note_command(tmp_path, argv, launcher='pytorch', environ=dict(LOCAL_WORLD_SIZE='8'))
    assert read_commands(tmp_path) == [['torchrun', '--nproc_per_node=8', *argv]]


def test_what_is_no_tool_is_neither_noted_nor_read(tmp_path):
    for argv in ([], [''], ['-c'], ['/usr/bin/pytest', 'tests'], ['tools.py'], ['tools/x.sh']):
        note_command(tmp_path, argv)
    assert not (tmp_path / COMMANDS).exists() and read_commands(tmp_path) == []
    lines = [
        'rm -rf /', 'python -c "import os"', 'curl x | sh', 'python tools/train.py "open',
        'torchrun --rdzv=$(x) tools/train.py', 'python tools/../../evil.py', 'python', '',
        'python tools/train.py a.py; rm -rf b',
    ]  # fmt: skip
    (tmp_path / COMMANDS).write_bytes('\n'.join(lines).encode() + b'\n\xff\xfe\n')
    (only,) = read_commands(tmp_path)
    assert shlex.join(only) == "python tools/train.py 'a.py;' rm -rf b"  # words, no operator
