"""Images of int8's calibration: which, how many, prepared as those of the validation set."""

import numpy as np
import pytest
import torch
from made_calibration import about, config
from mmengine.structures import BaseDataElement
from PIL import Image

from cream_mm.deploy.calibration import CalibrationImages, as_input, spread
from cream_mm.testing.tiny import write_image_folder


@pytest.fixture(autouse=True)
def scope():
    from mmengine.registry import DefaultScope

    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


def test_training_images_as_the_validation_set_is_prepared(tmp_path):
    root = write_image_folder(tmp_path, train=5, val=1)
    images = CalibrationImages(config(root), about(), number=4, batch=3)
    batches = list(images)
    assert [b.shape for b in batches] == [(3, 3, 16, 16), (1, 3, 16, 16)]
    files = [images.dataset.get_data_info(i)['img_path'] for i in images.order]
    for file, image in zip(files, np.concatenate(batches), strict=True):
        assert '/train/' in file
        pixels = np.asarray(Image.open(file).convert('RGB'))[2:18, 4:20]
        np.testing.assert_array_equal(image, pixels.transpose(2, 0, 1))
    assert sorted(file.split('/')[-2] for file in files) == ['ant', 'ant', 'bee', 'bee']
    np.testing.assert_array_equal(np.concatenate(list(images)), np.concatenate(batches))  # again
    assert images.lines() == [
        'calibration  4 of 10 training images, of 2 classes, prepared as the validation set is'
    ]


def test_few_images_and_one_class_are_said(tmp_path):
    root = write_image_folder(tmp_path, classes=('ant',), train=5, val=1)
    images = CalibrationImages(config(root), about())
    assert images.images == 5 and images.classes == 1
    few, one = images.lines()[1:]
    assert '5 images are few' in few and 'all images are of one class of 2' in one
    assert len(CalibrationImages(config(root), about(classes=1)).lines()) == 2
    # A file for batches of 4 gets whole ones, of images that come again.
    fixed = CalibrationImages(config(root), about(dynamic=(), batch=4))
    assert [len(batch) for batch in fixed] == [4, 4] and fixed.images == 5
    cfg = config(root)
    cfg.pop('train_dataloader')
    with pytest.raises(ValueError, match='the config has no train_dataloader'):
        CalibrationImages(cfg, about())
    with pytest.raises(ValueError, match='leave --maps or --int8 away'):
        CalibrationImages(config(root), dict(about(), task='maps'))


def test_images_are_dealt_from_the_classes():
    labels = [(0,)] * 50 + [(1, 0)] * 3 + [()] * 2
    chosen = spread(labels, 10)
    assert len(set(chosen)) == 10 and chosen == spread(labels, 10)
    assert sum(i >= 50 for i in chosen) == 5  # all of the rare ones
    assert sorted(spread(labels, 999)) == list(range(55)) and spread([], 3) == []


def test_an_image_is_padded_to_a_fixed_size_or_refused():
    image = torch.arange(3 * 2 * 3, dtype=torch.uint8).reshape(3, 2, 3)
    sample = BaseDataElement()
    x, scale = as_input(image, sample, about((4, 3)))
    assert scale == (1, 1)
    np.testing.assert_array_equal(x[:, :2], image.numpy()[::-1])
    np.testing.assert_array_equal(x[:, 2:], np.broadcast_to([[[1]], [[2]], [[3]]], (3, 2, 3)))
    assert as_input(image, sample, about((9, 9), ('batch', 'size')))[0].shape == (3, 2, 3)
    with pytest.raises(ValueError, match='gives 2 x 3 pixels, the file takes 2 x 2: .*--size 2 3'):
        as_input(image, sample, about((2, 2)))
