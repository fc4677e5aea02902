"""``cream-mm search``: which config, and what it is given."""

import pytest

from cream_mm.commands import search_data, train
from cream_mm.testing import write_image_folder


@pytest.fixture
def trained(monkeypatch, tmp_path):
    """What would be trained, one list of words for each call."""
    monkeypatch.chdir(tmp_path)
    calls = []
    monkeypatch.setattr(train, 'main', calls.append)
    write_image_folder(tmp_path / 'photos', train=2, val=1)
    return calls


def test_values_become_options_of_the_config(trained):
    search_data.main(['--data', 'photos', '--budget', '60M', '--minutes', '45', '--work-dir', 'w',
                      '--cfg-options', 'input_size=64'])  # fmt: skip
    ((config, *words),) = trained
    assert config.endswith('configs/photos/search.py')
    assert words == [
        '--work-dir', 'w', '--cfg-options', 'data_root=photos', 'input_size=64',
        'budget.macs_m=[0,60]', 'max_minutes=45',
    ]  # fmt: skip


def test_boxes_are_searched_as_a_detector(trained, tmp_path):
    boxes = tmp_path / 'boxes'
    boxes.mkdir()
    (boxes / 'annotations.csv').write_text('image,xmin,ymin,xmax,ymax,class\na.jpg,1,2,30,40,x\n')
    search_data.main(['--data', 'boxes', '--dry-run', '--resume'])
    ((config, *words),) = trained
    assert config.endswith('configs/photos/search_detector.py')
    folder = 'work_dirs/search_detector'
    assert words == [
        '--work-dir',
        folder,
        '--dry-run',
        '--resume',
        '--cfg-options',
        'data_root=boxes',
    ]


def test_a_config_of_ones_own(trained, tmp_path):
    (tmp_path / 'mine.py').write_text('')
    search_data.main(['mine.py', '--data', 'photos'])
    assert trained[0][:3] == ['mine.py', '--work-dir', 'work_dirs/mine']
    with pytest.raises(FileNotFoundError, match='no config file none.py'):
        search_data.main(['none.py', '--data', 'photos'])


def test_a_latency_needs_times(trained, tmp_path, monkeypatch):
    """They are measured into the work directory where there are none."""
    measured = []

    def measure(config, out, options, *, minutes):
        measured.append((out, options, minutes))
        (tmp_path / 'w').mkdir()
        (tmp_path / out).touch()

    monkeypatch.setattr('cream_mm.apis.slice_latency.measure_for', measure)
    args = ['--data', 'photos', '--latency', '5ms', '--work-dir', 'w', '--minutes', '60']
    for _ in range(2):
        search_data.main([*args, '--cfg-options', 'input_size=64'])
    assert measured == [('w/latency.json', dict(data_root='photos', input_size=64), 15)]
    assert trained[0] == trained[1] and trained[0][-4:] == [
        'latency=w/latency.json', 'budget.macs_m=None', 'budget.latency_ms=[0,5]', 'max_minutes=60'
    ]  # fmt: skip
    with pytest.raises(FileNotFoundError, match='no latency table none.json'):
        search_data.main([*args, '--table', 'none.json'])


def test_a_budget_beside_a_latency_holds(trained, tmp_path):
    (tmp_path / 't.json').touch()
    args = ['--data', 'photos', '--latency', '5ms', '--table', 't.json']
    search_data.main([*args, '--budget', '60M'])
    search_data.main([*args, '--cfg-options', 'budget.macs_m=[40,60]'])
    for words, budget in zip(trained, ('[0,60]', '[40,60]')):
        macs = [word for word in words if word.startswith('budget.macs_m=')]
        assert macs == [f'budget.macs_m={budget}'] and words[-1] == 'budget.latency_ms=[0,5]'


def test_measuring_is_part_of_the_minutes(trained, tmp_path, monkeypatch):
    now = iter([100.0, 100.0 + 6 * 60])
    monkeypatch.setattr(search_data, 'monotonic', lambda: next(now))

    def measure(config, out, options, *, minutes):
        (tmp_path / 'w').mkdir()
        (tmp_path / out).touch()

    monkeypatch.setattr('cream_mm.apis.slice_latency.measure_for', measure)
    search_data.main(['--data', 'photos', '--latency', '5ms', '--work-dir', 'w', '--minutes', '30'])
    assert trained[0][-1] == 'max_minutes=24'


@pytest.mark.parametrize(
    ('args', 'message'),
    [(['--budget', '150'], 'argument --budget: a budget is multiply-adds'),
     (['--latency', '5'], 'argument --latency: a latency is a time'),
     (['--minutes', '0'], 'argument --minutes: minutes are a number above 0'),
     (['--table', 'x'], 'argument --table: it is for --latency'),
     (['--cfg-options', 'x'], "'x' is not of the form KEY=VALUE")],
)  # fmt: skip
def test_one_clear_error(args, message, trained, capsys):
    with pytest.raises(SystemExit):
        search_data.main(['--data', 'photos', *args])
    assert message in capsys.readouterr().err and not trained
