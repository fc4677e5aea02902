"""The archive of a search in phases, rated at its end and once more."""

import json

import pytest
from killed_run import train
from made_phases import LAST, Record, nao_search
from mmengine.config import Config

from cream_mm.engine import Runner
from cream_mm.models import NASBench201Supernet
from cream_mm.testing import write_image_folder


@pytest.fixture(autouse=True)
def short_texts(monkeypatch):
    """Formatting a config takes longer than training here."""
    monkeypatch.setattr(Config, 'pretty_text', 'seed = 3')


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return write_image_folder(
        tmp_path_factory.mktemp('data'), classes=('a', 'b', 'c'), train=12, size=(8, 8)
    )


@pytest.fixture(scope='module')
def whole(data, tmp_path_factory):
    """A run from beginning to end, and its steps."""
    folder, record = tmp_path_factory.mktemp('runs') / 'whole', Record()
    train(nao_search(data, folder), record)
    return folder, record


def test_the_answer_is_the_best_of_the_archive(whole):
    folder, record = whole
    answer = json.loads((folder / 'best_arch.json').read_text())
    search = json.loads((folder / 'search.json').read_text())
    archive = {str(arch.to_list()) for pool in record.pools for arch in pool}
    inside = {str(r['arch']): r['loss'] for r in search['rated'] if r['source'] == 'archive'}
    assert set(inside) == archive
    assert str(answer['arch']) == min(inside, key=inside.get)
    assert answer['choice']['rule'] == 'archive'


@pytest.mark.parametrize('travel', [True, False])
def test_rated_once_more_it_is_the_same(whole, data, tmp_path, monkeypatch, travel):
    """As tools/test.py does: the archive comes from the checkpoint.

    The command that it names next has the checkpoint where an export takes weights out of it.
    """
    monkeypatch.setattr(NASBench201Supernet, 'weights_travel', travel)
    folder, _ = whole
    cfg = nao_search(data, tmp_path / 'again', load_from=str(folder / LAST))
    runner = Runner.from_cfg(cfg)
    runner.test()
    assert ('--checkpoint' in runner.test_loop.next_commands[0]) == travel
    answers = [json.loads((f / 'search.json').read_text()) for f in (folder, tmp_path / 'again')]
    assert answers[0]['rated'] == answers[1]['rated'] and answers[0]['best'] == answers[1]['best']


def test_rating_an_archive_that_is_not_there(data, tmp_path):
    cfg = nao_search(data, tmp_path / 'plain')
    cfg.train_cfg = dict(type='cream_mm.SupernetTrainLoop', max_epochs=1, rate_at_end=False)
    cfg.pop('param_scheduler')
    train(cfg)
    cfg = nao_search(data, tmp_path / 'rated', load_from=str(tmp_path / 'plain/epoch_1.pth'))
    with pytest.raises(ValueError, match='holds no archive: its supernet was not trained'):
        Runner.from_cfg(cfg).test()
