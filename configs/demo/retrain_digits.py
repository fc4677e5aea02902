# The demo's retraining: the network that the search found, trained alone, about a minute.
#
#   python tools/train.py configs/demo/retrain_digits.py --work-dir work_dirs/demo/retrain
#
# The same classes and optimizer as configs/cream/retrain_imagenet.py, only smaller.
_base_ = '../cream/retrain_imagenet.py'

data_root = 'data/digits'
num_classes = 10
input_size = 28
batch_size = 64
max_epochs = 12
num_workers = 0  # two cores are better spent on the network than on 28-pixel images

model = dict(
    backbone=dict(arch='work_dirs/demo/export/arch.json'),  # brings its own widths and strides
    head=dict(num_classes=num_classes, in_channels=160, hidden_channels=256),
    data_preprocessor=dict(
        num_classes=num_classes, mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5]
    ),
)
train_pipeline = [
    dict(type='cream_mm.LoadImage'),
    dict(type='RandomCrop', crop_size=input_size, padding=2),  # digits are not flipped
    dict(
        type='RandAugment',  # strokes survive these; the published set would erase them
        policies=[
            dict(type='Rotate', magnitude_range=(0, 20)),
            dict(type='Shear', magnitude_range=(0, 0.2), direction='horizontal'),
            dict(type='Shear', magnitude_range=(0, 0.2), direction='vertical'),
        ],
        num_policies=1,
        total_level=10,
        magnitude_level=9,
        magnitude_std=0.5,
        hparams=dict(pad_val=0, interpolation='bicubic'),
    ),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='cream_mm.LoadImageFromFile'),
    dict(type='PackInputs'),
]
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=num_workers,
    dataset=dict(data_root=data_root, pipeline=train_pipeline),
)
val_dataloader = dict(
    num_workers=num_workers, dataset=dict(data_root=data_root, pipeline=test_pipeline)
)
test_dataloader = val_dataloader

train_cfg = dict(max_epochs=max_epochs, val_interval=4)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min=1e-5, begin=1, end=max_epochs,
         convert_to_iter_based=True),
]  # fmt: skip
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval=4))
env_cfg = dict(num_threads=1)  # as in the search
