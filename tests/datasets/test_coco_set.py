"""COCO-style sets that are divided here: which file is read, and what a part of it keeps."""

import json

import pytest
from PIL import Image

from cream_mm.datasets.box_set import Box
from cream_mm.datasets.coco_set import read_coco_set


def write(root, name, folder, numbers, **changes):
    """Pictures of 64 x 48 pixels with a box of their number and a polygon."""
    content = dict(
        info=dict(year=2026), images=[], annotations=[],
        categories=[dict(id=7, name='cat'), dict(id=3, name='dog')],
    )  # fmt: skip
    for i in numbers:
        path = root / folder / f'{i}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new('RGB', (64, 48), (i, 0, 0)).save(path)
        content['images'].append(dict(id=i, file_name=path.name, width=64, height=48, license=i))
        polygon = [[4, 4, 24 + i, 4, 24 + i, 24, 4, 24]]
        content['annotations'].append(
            dict(id=i, image_id=i, category_id=(7, 3)[i % 2], bbox=[4, 4, 20 + i, 20], area=400,
                 iscrowd=int(i == 2), segmentation=polygon)
        )  # fmt: skip
    content.update(changes)
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return content


def paths(images):
    return [image.path for image in images]


def test_one_file_of_no_split(tmp_path):
    content = write(tmp_path, 'annotations/instances_default.json', 'images', (1, 2, 3))
    (tmp_path / 'package.json').write_text('{"name": "cats"}')
    found = read_coco_set(tmp_path)
    assert found.classes == ['cat', 'dog']
    assert list(found.splits) == ['all']
    images = found.splits['all']
    assert paths(images) == ['images/1.png', 'images/2.png', 'images/3.png']
    assert [image.boxes for image in images] == [
        [Box(1, 4, 4, 21, 20, False)],
        [Box(0, 4, 4, 22, 20, True)],
        [Box(1, 4, 4, 23, 20, False)],
    ]
    part = found.content(images[1:])  # with masks, ids and further entries, as they are
    assert part == {
        **content,
        'images': [{**i, 'file_name': f'images/{i["file_name"]}'} for i in content['images'][1:]],
        'annotations': content['annotations'][1:],
    }


def test_files_that_are_called_as_their_split(tmp_path):
    write(tmp_path, 'train/_annotations.coco.json', 'train', (1, 2))
    write(tmp_path, 'test/_annotations.coco.json', 'test', (1,))
    found = read_coco_set(tmp_path)
    assert {name: paths(images) for name, images in found.splits.items()} == {
        'train': ['train/1.png', 'train/2.png'],
        'test': ['test/1.png'],
    }
    assert [i['file_name'] for i in found.content(found.splits['test'])['images']] == ['test/1.png']


def test_a_file_and_a_folder_that_are_named(tmp_path):
    write(tmp_path, 'one.json', 'pictures', (1, 2))
    write(tmp_path, 'two.json', 'others', (1, 2))
    found = read_coco_set(tmp_path, 'one.json', 'pictures')
    assert paths(found.splits['train']) == ['pictures/1.png', 'pictures/2.png']
    with pytest.raises(ValueError, match=r'has 2 COCO files, .*: one\.json, two\.json\. Call one'):
        read_coco_set(tmp_path)


def test_pictures_beside_the_file(tmp_path):
    write(tmp_path, 'labels.json', '.', (1, 2))
    assert paths(read_coco_set(tmp_path).splits['all']) == ['1.png', '2.png']


def test_what_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match='no COCO file below'):
        read_coco_set(tmp_path)
    write(tmp_path, 'labels.json', 'images', (1, 2))
    (tmp_path / 'images' / '1.png').unlink()
    with pytest.raises(FileNotFoundError, match=r'labels\.json: its pictures lie in no one folder'):
        read_coco_set(tmp_path)
