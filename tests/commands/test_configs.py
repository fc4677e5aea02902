"""``cream-mm configs``: every config with a line, and where one lies."""

from pathlib import Path

import pytest

from cream_mm.commands.configs import about, main
from cream_mm.mim_scope import configs_root

ROOT = configs_root() / 'configs'


def test_the_list_has_all_of_them(capsys):
    main([])
    *lines, last = capsys.readouterr().out.splitlines()
    assert last == f'in {ROOT}'
    listed = {line.split()[0] for line in lines if line}
    there = {path.relative_to(ROOT).as_posix() for path in ROOT.glob('**/*.py')}
    there |= {path.relative_to(ROOT).as_posix() for path in ROOT.glob('*/*.py')}
    assert listed == {name for name in there if not name.startswith('_base_')}


@pytest.mark.parametrize(
    'name', ['photos/search.py', 'photos/search', 'configs/photos/search.py',
             'cream_mm::photos/search.py', str(ROOT / 'photos/search.py')]
)  # fmt: skip
def test_one_is_its_path(name, capsys):
    main([name])
    assert capsys.readouterr().out == f'{ROOT}/photos/search.py\n'
    assert Path(ROOT, 'photos/search.py').is_file()


def test_a_folder_and_what_is_none(capsys):
    main(['photos'])
    assert capsys.readouterr().out.startswith('photos/detector.py         A light detector on a')
    with pytest.raises(ValueError, match='no config photos/serch; did you mean photos/search.py?'):
        main(['photos/serch'])


def test_the_line_is_the_first_sentence():
    text = (
        'Fine-tune one fixed network on a small set of photographs, with distillation from a larger'
    )
    assert about(ROOT / 'photos/finetune.py') == f'{text} one'
