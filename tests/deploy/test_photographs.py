"""What an exported file is checked with."""

from mmengine.config import Config

from cream_mm.apis.predict import find_pictures
from cream_mm.deploy.photographs import picture_loader, validation_loader
from cream_mm.testing.tiny import write_image_folder

PIPELINE = [
    dict(type='cream_mm.LoadImageFromFile'),
    dict(type='mmpretrain.Resize', scale=8),
    dict(type='mmpretrain.PackInputs'),
]


def labels_of(loader):
    return [int(s.gt_label) for batch in loader for s in batch['data_samples']]


def test_the_validation_set_or_images_spread_over_it(tmp_path):
    data = write_image_folder(tmp_path, classes=('a', 'b', 'c'), train=1, val=5)
    dataset = dict(
        type='cream_mm.ImageFolder', data_root=str(data), folder='val', pipeline=PIPELINE
    )
    cfg = Config(dict(test_dataloader=dict(dataset=dataset)))
    assert labels_of(validation_loader(cfg)) == [0] * 5 + [1] * 5 + [2] * 5
    assert labels_of(validation_loader(cfg, 3)) == [0, 1, 2]
    assert validation_loader(Config(dict(test_dataloader=dict(dataset=dict(pipeline=[]))))) is None
    paths = find_pictures([data / 'val/b'])
    batches = list(picture_loader(paths, PIPELINE, 2))
    found = [s.img_path for batch in batches for s in batch['data_samples']]
    assert found == [str(paths[0]), str(paths[-1])]
    assert {tuple(image.shape) for batch in batches for image in batch['inputs']} == {(3, 8, 8)}
