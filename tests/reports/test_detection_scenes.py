"""Scenes of a detector: each box judged once, images of the set alone, shown as it saw them."""

import base64
import io
import json
import os

import numpy as np
import pytest
from made_run import detector_dir, search_dir, write_json  # noqa: F401  the fixtures are used
from PIL import Image

from cream_mm.reports.detection_scenes import draw_scenes, embed_image
from cream_mm.reports.search_report import SearchReport


def test_images_from_outside_the_set_are_not_shown(search_dir, detector_dir, tmp_path):  # noqa: F811
    """Whatever an annotation file names; links are followed, pipes and devices not opened."""
    secret = tmp_path / 'secret.png'
    Image.new('L', (64, 48), 99).save(secret)
    val = detector_dir / 'val'
    (val / 'link.png').symlink_to(secret)
    (val / 'folder').symlink_to(tmp_path)
    (val / 'device.png').symlink_to('/dev/zero')
    os.mkfifo(val / 'pipe.png')
    (detector_dir / 'shared').mkdir()
    (val / '0.png').rename(detector_dir / 'shared/0.png')  # a link within the set
    (val / '0.png').symlink_to('../shared/0.png')
    outside = ['../../secret.png', str(secret), 'link.png', 'folder/secret.png']
    none = ['device.png', 'pipe.png', 'none.png', 'x' * 5000, '\0', '\ud800', '.', '']
    for name in [*outside, *none, '0.png', '../val/0.png']:
        coco = json.loads((detector_dir / 'val.json').read_text())
        coco['images'] = [dict(coco['images'][0], file_name=name)]
        write_json(detector_dir / 'val.json', coco)
        report = SearchReport(search_dir, detector_dir=detector_dir)
        told = [note for note in report.notes if note.startswith('Validation scenes: ')]
        is_shown = name.endswith('0.png')
        # A name that leads out and in again is read as the one inside.
        assert [scene['name'] for scene in report.scenes] == ['0.png'] * is_shown
        assert len(told) == 0 if is_shown else len(told) == 1 + (name in outside)
        assert name not in outside or '1 images that lie outside the set' in told[0]
    assert report.to_html().count('<image') == 1


def test_images_that_cannot_be_shown_are_named(search_dir, detector_dir, monkeypatch):  # noqa: F811
    (detector_dir / 'val/0.png').write_bytes(b'no image')
    (detector_dir / 'val/7.png').write_bytes((detector_dir / 'val/1.png').read_bytes()[:60])
    Image.new('L', (3000, 3000)).save(detector_dir / 'val/4.png')
    monkeypatch.setattr('cream_mm.reports.detection_scenes.MAX_PIXELS', 8_000_000)
    report = SearchReport(search_dir, detector_dir=detector_dir)
    assert [scene['name'] for scene in report.scenes] == ['1.png', '3.png', '6.png']
    told = ' '.join(report.notes)
    assert all(f'val/{i}.png cannot be shown' in told for i in (0, 4, 7))
    assert '3000 x 3000 pixels' in told


def test_scenes_judge_each_box_once(detector_dir):  # noqa: F811
    coco = json.loads((detector_dir / 'val.json').read_text())
    twice = [
        {'image_id': 0, 'category_id': 3, 'bbox': [10, 10, 20, 20], 'score': score}
        for score in (0.6, 0.9)
    ]
    scenes = draw_scenes(coco, twice, detector_dir / 'val')
    assert [s['name'] for s in scenes] == [f'{i}.png' for i in (0, 1, 3, 4, 6, 7)]
    first, second = scenes[0]['boxes']
    assert first['text'] == 'three 0.90' and first['color'] != second['color']
    assert [s['missed'] for s in scenes] == [0] * 6


def test_a_scene_is_shown_as_the_detector_saw_it(detector_dir):  # noqa: F811
    coco = json.loads((detector_dir / 'val.json').read_text())
    exif = Image.Exif()
    exif[0x0112] = 6
    values = (np.arange(40 * 60).reshape(40, 60) * 20).astype(np.uint16)
    path = detector_dir / 'val' / coco['images'][0]['file_name']
    Image.fromarray(values).save(path, 'PNG', exif=exif)
    uri, width, height = embed_image(path)
    assert (width, height) == (40, 60)
    with Image.open(io.BytesIO(base64.b64decode(uri.partition(',')[2]))) as image:
        assert np.array_equal(np.asarray(image)[..., 0], np.rot90(values >> 8, -1))


def test_a_scene_is_a_regular_file(tmp_path):
    (tmp_path / '0.png').symlink_to('/dev/zero')
    with pytest.raises(ValueError, match='0.png is a device, not a regular file'):
        embed_image(tmp_path / '0.png')
