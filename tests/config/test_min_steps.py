"""Small sets are trained for more epochs."""

from pathlib import Path

import pytest

from cream_mm.config.carry import override, read_config
from cream_mm.config.min_steps import fit_min_steps
from cream_mm.testing.tiny import write_image_folder

SEARCH = Path(__file__).parents[2] / 'configs/photos/search.py'


@pytest.fixture
def cfg(tmp_path):
    """40 images to train on, 10 held out."""
    write_image_folder(tmp_path, train=25, val=1)
    cfg = read_config(SEARCH)[0]
    override(cfg, dict(data_root=str(tmp_path), batch_size=16, min_steps=100))
    return cfg


def test_more_epochs_for_few_steps(cfg):
    lines = []
    fit_min_steps(cfg, {}, lines.append)
    assert cfg.max_epochs == cfg.train_cfg.max_epochs == cfg.param_scheduler[0].T_max == 34
    assert 'max_epochs=34, not 30: an epoch of 40 images is 3 steps, and a training' in lines[0]
    fit_min_steps(cfg, {}, pytest.fail)  # 102 steps


def test_what_is_given_stays(cfg):
    fit_min_steps(cfg, dict(max_epochs=16), pytest.fail)
    override(cfg, dict(min_steps=48))
    fit_min_steps(cfg, {}, pytest.fail)
    override(cfg, dict(min_steps=100, max_minutes=5))
    fit_min_steps(cfg, {}, pytest.fail)
    assert cfg.max_epochs == 30


def test_a_part_of_a_set_with_boxes():
    cfg = read_config(SEARCH.with_name('search_detector.py'))[0]
    root = Path(__file__).parents[2] / 'data/tiny_coco/'
    if not root.is_dir():
        pytest.skip('no data/tiny_coco')
    override(cfg, dict(data_root=str(root), min_steps=800))
    lines = []
    fit_min_steps(cfg, {}, lines.append)
    assert 'an epoch of 40 images is 5 steps' in lines[0] and cfg.param_scheduler[0].T_max == 160
