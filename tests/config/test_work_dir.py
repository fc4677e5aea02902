"""What a work directory stands for: its config, and the best or the newest checkpoint."""

import os
from pathlib import Path

import pytest
import torch

from cream_mm.checkpoints.whole_file import seal
from cream_mm.config.work_dir import checkpoint_file, config_and_checkpoint, config_file
from cream_mm.files import take_early_lines


@pytest.fixture
def work_dir(tmp_path):
    """A run of two epochs."""
    folder = tmp_path / 'run'
    folder.mkdir()
    (folder / 'net.py').write_text('a = 1\n')
    for name in ('epoch_1.pth', 'epoch_2.pth'):
        save(folder / name)
    (folder / 'last_checkpoint').write_text(str(folder / 'epoch_2.pth'))
    take_early_lines()
    return folder


def save(path, age=0):
    torch.save(dict(state_dict=dict(a=torch.ones(3))), path)
    path.write_bytes(seal(path.read_bytes()))
    os.utime(path, (1e9 - age, 1e9 - age))


def damage(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 255
    path.write_bytes(content)


def said():
    return [line for _, line in take_early_lines()]


def test_the_best_one_and_one_line(work_dir):
    save(work_dir / 'best_accuracy_top1_epoch_1.pth')
    found = config_and_checkpoint(str(work_dir), None)
    best = 'best_accuracy_top1_epoch_1.pth'
    assert found == (str(work_dir / 'net.py'), str(work_dir / best))
    assert said() == [f'{work_dir}: net.py and {best}, the best checkpoint']


def test_the_newest_one_where_none_is_the_best(work_dir):
    _, checkpoint = config_and_checkpoint(str(work_dir), None)
    assert checkpoint == str(work_dir / 'epoch_2.pth')
    assert said() == [f'{work_dir}: net.py and epoch_2.pth, the newest checkpoint']


def test_of_several_best_the_newest(work_dir):
    save(work_dir / 'best_a_epoch_1.pth', age=5)
    save(work_dir / 'best_b_epoch_1.pth', age=9)
    assert checkpoint_file(work_dir) == (
        str(work_dir / 'best_a_epoch_1.pth'), 'the best checkpoint, the newest of 2',
    )  # fmt: skip


def test_damaged_ones_are_passed_over(work_dir):
    best = work_dir / 'best_a_epoch_1.pth'
    save(best)
    damage(best)
    damage(work_dir / 'epoch_2.pth')
    assert checkpoint_file(work_dir)[0] == str(work_dir / 'epoch_1.pth')
    assert any('best_a_epoch_1.pth is damaged' in line for line in said())
    damage(work_dir / 'epoch_1.pth')
    with pytest.raises(ValueError, match='no checkpoint in .* is whole'):
        checkpoint_file(work_dir)


@pytest.mark.parametrize('name', ['path_log.jsonl', 'best_arch.json'])
def test_of_a_search_the_newest(work_dir, name):
    save(work_dir / 'best_coco_bbox_mAP_epoch_1.pth')
    (work_dir / name).write_text('')
    assert checkpoint_file(work_dir)[0] == str(work_dir / 'epoch_2.pth')


def test_the_old_forms(work_dir):
    given = str(work_dir / 'net.py'), str(work_dir / 'epoch_1.pth')
    assert config_and_checkpoint(*given) == given and said() == []
    # One of each.
    assert config_and_checkpoint(str(work_dir), given[1]) == given
    assert said() == [f'{work_dir}: net.py']
    assert config_and_checkpoint('other.py', str(work_dir))[0] == 'other.py'
    assert said() == [f'{work_dir}: other.py and epoch_2.pth, the newest checkpoint']


def test_one_line_where_something_is_missing(work_dir, tmp_path):
    (work_dir / 'b.py').write_text('')
    with pytest.raises(ValueError, match='has 2 configs, b.py, net.py: name the one'):
        config_file(work_dir)
    empty = tmp_path / 'empty'
    empty.mkdir()
    with pytest.raises(FileNotFoundError, match='no config in .*empty'):
        config_and_checkpoint(str(empty), None)
    (empty / 'a.py').write_text('')
    with pytest.raises(FileNotFoundError, match='no checkpoint in .*empty'):
        config_and_checkpoint(str(empty), None)
    with pytest.raises(FileNotFoundError, match='no config file nowhere, and no work directory'):
        config_and_checkpoint('nowhere', None)
    with pytest.raises(ValueError, match='a.py without a checkpoint'):
        config_and_checkpoint(str(empty / 'a.py'), None)


def test_only_the_first_rank_tells(work_dir, monkeypatch):
    monkeypatch.setenv('RANK', '1')
    config_and_checkpoint(str(work_dir), None)
    assert said() == []
    assert Path(config_file(work_dir)).name == 'net.py'
