"""Under the console command what is printed names its commands; in a clone, the tools."""

import subprocess

import pytest

import cream_mm
from cream_mm.command_line import tool_parser
from cream_mm.command_words import as_typed, own_command, own_words, use_program, words_as_typed


@pytest.fixture
def program(monkeypatch):
    monkeypatch.setenv('CREAM_MM_PROGRAM', '')  # taken back at the end
    use_program()


TEXTS = [
    ('run "python tools/train_paths.py CONFIG"', 'run "cream-mm train-paths CONFIG"'),
    ('tools/search.py W; tools/export_arch.py', 'cream-mm search-again W; cream-mm export'),
    ('  python /repo/tools/train.py a.py', '  cream-mm train a.py'),
    ('torchrun -n=8 tools/train.py a.py', 'torchrun -n=8 -m cream_mm train a.py'),
    ('configs/photos/x.py, ../configs/a/b.py', 'cream_mm::photos/x.py, ../configs/a/b.py'),
    ('"configs/x_y.py"', '"cream_mm::x_y.py"'),
    ('tools/a.md my_tools/train.py data/tools', 'tools/a.md my_tools/train.py data/tools'),
]


@pytest.mark.parametrize(('text', 'typed'), TEXTS)
def test_texts(text, typed, program, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where there is no configs/
    assert as_typed(text) == typed


def test_without_the_program_nothing_changes(monkeypatch):
    monkeypatch.delenv('CREAM_MM_PROGRAM', raising=False)
    assert [as_typed(text) for text, _ in TEXTS] == [text for text, _ in TEXTS]
    assert words_as_typed(['python', 'tools/report.py', 'x']) == ['python', 'tools/report.py', 'x']


def test_a_config_that_is_here_keeps_its_name(program, tmp_path, monkeypatch):
    (tmp_path / 'configs/photos').mkdir(parents=True)
    (tmp_path / 'configs/photos/search.py').touch()
    monkeypatch.chdir(tmp_path)
    assert as_typed('configs/photos/search.py') == 'configs/photos/search.py'


def test_words(program):
    words = ['python', 'tools/export_arch.py', 'a b.json', '--x=tools/train.py']
    assert words_as_typed(words) == ['cream-mm', 'export', 'a b.json', '--x=tools/train.py']
    assert words_as_typed(['python', 'my.py']) == ['python', 'my.py']


def test_help_and_errors_speak_of_it(program, capsys, monkeypatch):
    monkeypatch.setattr('sys.argv', ['cream-mm train'])
    parser = tool_parser('python tools/train.py CONFIG')
    assert 'cream-mm train CONFIG' in parser.format_help()
    with pytest.raises(SystemExit):
        parser.error('give it to tools/test.py')
    assert 'cream-mm train: error: give it to cream-mm test' in capsys.readouterr().err


def test_a_parser_takes_configs_by_name():
    parser = tool_parser('x')
    parser.add_argument('config')
    assert parser.parse_args(['cream_mm::photos/search.py']).config.endswith('/photos/search.py')


def test_a_process_of_ours_does_not_look_into_the_current_folder(tmp_path):
    """A clone is a folder called cream_mm, and people have datasets/, types.py and calendar.py."""
    for name in ('types', 'calendar', 'cream_mm/__init__', 'datasets/__init__'):
        path = tmp_path / f'{name}.py'
        path.parent.mkdir(exist_ok=True)
        path.write_text('raise SystemExit("the wrong one")')
    command = [*own_command('train'), '--version']
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    where = cream_mm.__file__.removesuffix('/__init__.py')
    assert done.stdout == f'cream_mm {cream_mm.__version__} of {where}\n', done.stderr


def test_a_line_without_a_clone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = 'tools/train.py configs/demo/search_digits.py --work-dir "a b" configs/none.py'
    *_, name, config, flag, folder, none = own_words(line)
    assert (name, flag, folder, none) == ('train', '--work-dir', 'a b', 'configs/none.py')
    assert config.endswith('.mim/configs/demo/search_digits.py')
    (tmp_path / 'configs/demo').mkdir(parents=True)
    (tmp_path / 'configs/demo/search_digits.py').touch()
    assert own_words(line)[-4] == 'configs/demo/search_digits.py'
