# The demo's retraining of a network of NAO's cells: digits, 28 x 28 pixels, minutes on a CPU.
#
#   python tools/train.py work_dirs/demo/nao/export/retrain.py --work-dir work_dirs/demo/nao_retrain
#
# An export of nao_digits.py is made from this one. The scale is that of the search; no digits are
# mirrored or cut, and what keeps 600 epochs from overfitting is off.
_base_ = '../nao_v2/retrain_cifar10.py'

data_root = 'data/digits'
input_size = 28
num_cells = 1
channels = 8
batch_size = 64
max_epochs = 12
num_workers = 0

model = dict(
    backbone=dict(space=dict(num_cells=num_cells, channels=channels), drop_path_rate=0.0),
    head=dict(in_channels=4 * channels * 4, aux_channels=4 * channels * 4, dropout=0.0),
    data_preprocessor=dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5]),
)
train_pipeline = [
    dict(type='cream_mm.LoadImage'),
    dict(type='Resize', scale=input_size),
    dict(type='RandomCrop', crop_size=input_size, padding=2),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='cream_mm.LoadImageFromFile'),
    dict(type='Resize', scale=input_size),
    dict(type='PackInputs'),
]
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=num_workers,
    persistent_workers=False,
    dataset=dict(data_root=data_root, pipeline=train_pipeline),
)
val_dataloader = dict(
    num_workers=num_workers,
    persistent_workers=False,
    dataset=dict(data_root=data_root, pipeline=test_pipeline),
)
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=max_epochs)
optim_wrapper = dict(optimizer=dict(lr=0.1))
param_scheduler = [dict(type='CosineAnnealingLR', eta_min=0, end=max_epochs)]
auto_scale_lr = dict(base_batch_size=batch_size)
env_cfg = dict(num_threads=1)
