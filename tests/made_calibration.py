"""A config and a file's metadata, for the calibration and the rating of files."""

from mmengine.config import Config

PIPELINE = [
    dict(type='cream_mm.LoadImageFromFile'),
    dict(type='CenterCrop', crop_size=16),
    dict(type='PackInputs'),
]
# In training half of the pixels would be black.
_ERASED = dict(type='RandomErasing', erase_prob=1.0, min_area_ratio=0.5, max_area_ratio=0.9)
TRAIN = [PIPELINE[0], _ERASED, *PIPELINE[1:]]


def config(root):
    kind = dict(type='cream_mm.ImageFolder', data_root=str(root))
    return Config(
        dict(
            train_dataloader=dict(dataset=dict(kind, folder='train', pipeline=TRAIN)),
            val_dataloader=dict(dataset=dict(kind, folder='val', pipeline=PIPELINE)),
            val_evaluator=dict(type='Accuracy', topk=(1,)),
        )
    )


def about(size=(16, 16), dynamic=('batch',), classes=2, **more):
    return dict(
        task='classification', classes=['c'] * classes,
        resize=dict(mode='none', pad=dict(value=[1, 2, 3])),
        input=dict(size=list(size), dynamic=list(dynamic), **more),
    )  # fmt: skip
