"""``tracker`` becomes backends and a hook, or one error before anything is read."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pytest
from mmengine.config import Config

from cream_mm.config import tracker
from cream_mm.config.load import check_early, load_config
from cream_mm.config.tracker import fit_tracker

SPOS = str(Path(__file__).parents[2] / 'configs/spos/search_imagenet.py')
LOCAL = dict(type='LocalVisBackend')
WANDB, BOARD = dict(type='cream_mm.WandbTracker'), dict(type='cream_mm.TensorboardTracker')


@pytest.fixture
def all_there(monkeypatch):
    monkeypatch.setattr(tracker, '_is_installed', lambda package: True)


def backends(cfg):
    return [dict(one) for one in cfg.visualizer.vis_backends]


def test_a_name_and_a_list(all_there, tmp_path):
    cfg = load_config(SPOS, dict(tracker=['wandb', 'tensorboard', 'wandb']), check_data=False)
    assert backends(cfg) == [LOCAL, WANDB, BOARD]
    assert cfg.visualizer.type == 'UniversalVisualizer'  # the config's own
    assert cfg.default_hooks.tracker.type == 'cream_mm.TrackerHook'
    cfg.dump(tmp_path / 'copy.py')  # as a run leaves it: once more is the same, another one is that
    again = load_config(str(tmp_path / 'copy.py'), check_data=False)
    assert backends(again) == [LOCAL, WANDB, BOARD]
    other = load_config(str(tmp_path / 'copy.py'), dict(tracker='tensorboard'), check_data=False)
    assert backends(other) == [LOCAL, BOARD]
    none = load_config(str(tmp_path / 'copy.py'), dict(tracker=None), check_data=False)
    assert backends(none) == [LOCAL] and 'tracker' not in none.default_hooks


def test_without_a_visualizer_there_is_mmengines_own_beside(all_there):
    cfg = Config(dict(tracker='wandb'))
    fit_tracker(cfg)
    assert backends(cfg) == [LOCAL, WANDB]
    untouched = Config(dict(tracker=None))
    fit_tracker(untouched)
    assert list(untouched) == ['tracker']
    own = dict(visualizer=dict(vis_backends=[dict(type='ClearMLVisBackend')]))
    own['default_hooks'] = dict(tracker=dict(type='cream_mm.TrackerHook'))
    mine = Config(own)
    fit_tracker(mine)
    assert mine.to_dict() == own


def test_what_cannot_be_had_is_said_before_the_data_is_looked_at(monkeypatch):
    """The configs' data_root is not there, either."""
    with pytest.raises(ValueError, match="or None; got 'tensorbord'"):
        check_early(SPOS, dict(tracker='tensorbord'))
    with pytest.raises(ValueError, match="or None; got {'type': 'wandb'}"):
        check_early(SPOS, dict(tracker=[dict(type='wandb')]))
    found = importlib.util.find_spec
    # None is there; 'wandb', which it leaves where one works, is a folder without an __init__.
    specs = dict(mlflow=None, wandb=SimpleNamespace(origin=None))
    monkeypatch.setattr(
        importlib.util, 'find_spec', lambda name, *a: specs[name] if name in specs else found(name)
    )
    for name in specs:
        with pytest.raises(ValueError, match=rf'is not installed: pip install {name} .*\[{name}\]'):
            check_early(SPOS, dict(tracker=[name]))
