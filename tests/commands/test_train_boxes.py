"""tools/train.py and tools/test.py on a folder of PASCAL VOC: from XML files to an mAP."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cream_mm.datasets.digits import write_digit_scenes

ROOT = Path(__file__).resolve().parents[2]


def run(tool, *args, cwd):
    command = [sys.executable, str(ROOT / 'tools' / tool), *map(str, args)]
    env = {**os.environ, 'OMP_NUM_THREADS': '1'}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def scenes_as_voc(root, scenes):
    """Drawn scenes with their boxes, one XML file beside each."""
    root.mkdir()
    content = json.loads((scenes / 'annotations/instances_train2017.json').read_text())
    names = {category['id']: category['name'] for category in content['categories']}
    for image in content['images']:
        things = []
        for a in content['annotations']:
            if a['image_id'] == image['id']:
                x, y, w, h = a['bbox']
                things.append(
                    f'<object><name>{names[a["category_id"]]}</name><bndbox><xmin>{x + 1}</xmin>'
                    f'<ymin>{y + 1}</ymin><xmax>{x + w + 1}</xmax><ymax>{y + h + 1}</ymax>'
                    '</bndbox></object>'
                )
        (source,) = scenes.rglob(f'train2017/{image["file_name"]}')
        shutil.copy(source, root / source.name)
        (root / source.name).with_suffix('.xml').write_text(
            f'<annotation>{"".join(things)}</annotation>'
        )
    return content


@pytest.mark.slow
def test_a_training_and_a_test_on_xml_files_without_a_split(tmp_path):
    write_digit_scenes(tmp_path / 'scenes', num_train=24, num_val=2)
    content = scenes_as_voc(tmp_path / 'data', tmp_path / 'scenes')
    printed = run(
        'train.py', ROOT / 'configs/retinanet_cream.py', '--work-dir', 'work', '--cfg-options',
        'data_root=data', 'max_epochs=1', 'scale=[96,96]', 'num_workers=0', 'batch_size=4',
        'model.backbone.arch=cream-14m', 'model.test_cfg.score_thr=0.0', cwd=tmp_path,
    )  # fmt: skip
    assert 'data is read as PASCAL VOC' in printed
    numbers = re.search(r'no split: (\d+) of 24 images to train on, (\d+) to validate on', printed)
    sides = [json.loads((tmp_path / f'work/annotations/{s}.json').read_text())
             for s in ('train', 'val')]  # fmt: skip
    assert [len(side['images']) for side in sides] == list(map(int, numbers.groups()))
    boxes = [tuple(a['bbox']) for side in sides for a in side['annotations']]
    assert sorted(boxes) == sorted(tuple(a['bbox']) for a in content['annotations'])
    (trained,) = re.findall(r'Epoch\(val\) \[1\].*coco/bbox_mAP: (\S+)', printed)
    tested = run('test.py', 'work', cwd=tmp_path)
    assert re.search(r'Epoch\(test\).*coco/bbox_mAP: (\S+)', tested)[1] == trained
