"""Folds summed up, and the runs that measure them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cream_mm.apis.train_folds import read_fold, summarise, table_lines, train_folds
from cream_mm.testing import write_image_folder

ROOT = Path(__file__).resolve().parents[2]


def test_mean_interval_and_pooled():
    """By hand: 80, 90, 70 have a standard deviation of 10; t(0.975, 2) is 4.3027."""
    found = [
        dict(fold=i, num_images=n, metrics={'accuracy/top1': value})
        for i, (value, n) in enumerate([(80.0, 10), (90.0, 10), (70.0, 20)])
    ]
    summary = summarise(found, 'accuracy/top1')
    assert summary['mean'] == 80
    assert summary['half_width'] == pytest.approx(4.3027 * 10 / 3**0.5, rel=1e-4)
    assert summary['pooled'] == pytest.approx(77.5)  # 8 + 9 + 14 of 40
    lines = table_lines(found, {'accuracy/top1': summary})
    assert lines[2].split() == ['1', '10', '90']
    assert lines[4].split() == ['mean', '80', '+-', '25']
    assert lines[5].split() == ['pooled', '40', '77.5']


def test_a_result_of_another_fold(tmp_path):
    good = dict(format='cream_mm.fold/1', folds=3, fold=1, num_images=4, metrics={'a': 1.0})
    path = tmp_path / 'fold.json'
    path.write_text(json.dumps(good))
    assert read_fold(tmp_path, 3, 1) == good
    for folds, fold, change in ((3, 2, {}), (4, 1, {}), (3, 1, dict(metrics=None))):
        path.write_text(json.dumps({**good, **change}))
        with pytest.raises(ValueError, match=f'fold.json is no result of fold {fold} of {folds}'):
            read_fold(tmp_path, folds, fold)


def test_other_folds_are_not_mixed(tmp_path):
    root = write_image_folder(tmp_path / 'set', classes=('ant', 'bee'), train=6, val=2)
    config = str(ROOT / 'configs/cream/retrain_imagenet.py')
    given = dict(options=dict(data_root=str(root)))
    old = dict(config=config, folds=4, options=[], flags=[])
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run/folds.json').write_text(json.dumps(dict(settings=old)))
    with pytest.raises(ValueError, match='holds other folds.*Name another --work-dir'):
        train_folds(config, str(tmp_path / 'run'), 3, **given)
    with pytest.raises(ValueError, match='--folds is 2 or more; got 1'):
        train_folds(config, str(tmp_path / 'run'), 1, **given)


@pytest.mark.slow
def test_a_classifier_in_two_folds(tmp_path):
    root = write_image_folder(tmp_path / 'set', classes=('ant', 'bee'), train=6, val=2)
    config = str(ROOT / 'configs/cream/retrain_imagenet.py')
    command = [
        sys.executable, str(ROOT / 'tools/train.py'), config,
        '--folds', '2', '--work-dir', str(tmp_path / 'run'), '--cfg-options', f'data_root={root}',
        'batch_size=6', 'max_epochs=1', 'input_size=32', 'num_workers=0',
    ]  # fmt: skip
    env = {**os.environ, 'PYTHONPATH': str(ROOT)}
    subprocess.run(command, check=True, env=env)
    content = json.loads((tmp_path / 'run/folds.json').read_text())
    top1 = [one['metrics']['accuracy/top1'] for one in content['folds']]
    assert [one['num_images'] for one in content['folds']] == [6, 6]
    assert content['summary']['accuracy/top1']['pooled'] == pytest.approx(sum(top1) / 2)
    again = subprocess.run(command, check=True, env=env, capture_output=True, text=True).stdout
    assert 'fold 1 of 2 was trained before' in again and 'Epoch(train)' not in again
