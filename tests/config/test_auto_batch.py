"""batch_size='auto': measured once, carried to every place, kept by a run that goes on."""

import json

import pytest

from cream_mm.config import auto_batch
from cream_mm.config.auto_batch import chosen_line, size_batch
from cream_mm.config.load import load_config

TRIED = [
    dict(batch_size=8, images_per_second=40.2, peak_bytes=1),
    dict(batch_size=16, images_per_second=55.0, peak_bytes=2),
]


@pytest.fixture
def measured(monkeypatch):
    """The orders that were given."""
    orders = []

    def measure(order):
        orders.append(order)
        return dict(order, batch_size=16, why='a larger one is no faster', tried=TRIED,
                    lr_follows=True)  # fmt: skip

    monkeypatch.setattr(auto_batch, '_measure', measure)
    return orders


@pytest.fixture
def config(tmp_path):
    path = tmp_path / 'config.py'
    path.write_text("batch_size = 'auto'\ntrain_dataloader = dict(batch_size=batch_size)\n")
    return str(path)


def test_it_reaches_every_place(tmp_path, config, measured):
    given = dict(work_dir=str(tmp_path / 'run'), max_epochs=3)
    options = size_batch(config, given, amp=True)
    assert options == dict(given, batch_size=16)
    assert measured == [dict(config=config, options=dict(max_epochs=3), amp=True)]
    options.pop('max_epochs')
    cfg = load_config(config, options, check_data=False)
    assert cfg.batch_size == cfg.train_dataloader.batch_size == 16
    assert json.loads((tmp_path / 'run/batch_size.json').read_text())['batch_size'] == 16


def test_a_run_that_goes_on_keeps_it(tmp_path, config, measured):
    given = dict(work_dir=str(tmp_path / 'run'))
    assert size_batch(config, given, resume=True)['batch_size'] == 16  # nothing was begun
    assert size_batch(config, given, resume=True)['batch_size'] == 16
    assert len(measured) == 1
    (tmp_path / 'run/batch_size.json').write_text('{}')
    with pytest.raises(ValueError, match='does not tell which batch_size'):
        size_batch(config, given, resume=True)


def test_a_number_is_not_measured(config, measured):
    given = dict(batch_size=4)
    assert size_batch(config, given) == given and measured == []
    plain = 'configs/demo/retrain_digits.py'
    assert size_batch(plain, {}) == {} and measured == []
    assert size_batch(plain, dict(batch_size='auto'), keep=False)['batch_size'] == 16


def test_what_it_cannot_do_is_refused(config, monkeypatch):
    with pytest.raises(ValueError, match='differ between folds'):
        size_batch(config, dict(folds=5, fold=0))
    with pytest.raises(ValueError, match='measured by tools/train.py alone'):
        load_config(config, check_data=False)
    monkeypatch.setattr(auto_batch, 'rank_and_number', lambda: (0, 2))
    with pytest.raises(ValueError, match='is for one process'):
        size_batch(config, {})


def test_the_line():
    found = dict(batch_size=16, why='a larger one is no faster', tried=TRIED, lr_follows=False)
    assert chosen_line(found) == (
        "batch_size='auto': 16; images a second 8: 40, 16: 55; a larger one is no faster; the "
        'learning rate stays as it is: auto_scale_lr is off'
    )
