# CLOSE, reduced for two CPU cores: one cell in each stage, images of 16 pixels, K from 1 to 3.
#
#   python tools/prepare_images.py data/cifar10 data/cifar10_16 --size 16 --pack
#   python tools/train.py configs/close/search_nb201_cpu.py --cfg-options data_root=data/cifar10_16
#
# A step of 64 images takes 43 ms of one core at K = 1 and 60 at K = 3 (docs/results/close.md).
_base_ = './search_nb201.py'

input_size = 16
batch_size = 128
max_epochs = 60
lr = 0.05
num_workers = 0  # the cores are better spent on the network

model = dict(
    backbone=dict(
        space=dict(num_cells=1),
        costs=dict(input_size=input_size),
        router=dict(num_banks=3),
    ),
)
train_pipeline = [
    dict(type='cream_mm.LoadImage'),
    dict(type='Resize', scale=input_size),
    dict(type='RandomCrop', crop_size=input_size, padding=input_size // 8),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='cream_mm.LoadImageFromFile'),
    dict(type='Resize', scale=input_size),
    dict(type='PackInputs'),
]
train_set = dict(pipeline=train_pipeline)
held_out_set = dict(pipeline=test_pipeline)
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=num_workers,
    persistent_workers=False,
    dataset=dict(pipeline=train_pipeline),
)
test_dataloader = dict(num_workers=num_workers, dataset=dict(pipeline=test_pipeline))

train_cfg = dict(max_epochs=max_epochs)
custom_hooks = [
    dict(type='cream_mm.CurriculumHook', schedule=(0, 0.33, 0.67), restart_at=()),
]
# A plateau of 30 epochs would not come in so short a run. There is one cosine, and no restart.
param_scheduler = [
    dict(type='CosineAnnealingLR', eta_min=0, end=max_epochs, convert_to_iter_based=True),
]
test_cfg = dict(
    strategy=None,  # by training effects, with a veto of ratings: better than ratings alone here
    num=11,
    num_images=2000,
    bn_dataset=dict(pipeline=test_pipeline),
)
auto_scale_lr = dict(base_batch_size=batch_size)
