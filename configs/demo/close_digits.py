# CLOSE on real handwritten digits, a few minutes on two CPU cores: the banks of weights that the
# edges of a cell share grow from one to three.
#
#   python tools/prepare_digits.py
#   python tools/train.py configs/demo/close_digits.py --work-dir work_dirs/demo/close
#   python tools/report.py work_dirs/demo/close
_base_ = '../close/search_nb201_cpu.py'

data_root = 'data/digits'
input_size = 28
batch_size = 64
max_epochs = 12
holdout = 0.1

model = dict(
    backbone=dict(
        space=dict(channels=8, num_cells=1),
        costs=dict(input_size=input_size),
    ),
    head=dict(in_channels=32),
    data_preprocessor=dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5]),
)
train_pipeline = [  # no augmentation: a cell sees each digit a few times only
    dict(type='cream_mm.LoadImage'),
    dict(type='Resize', scale=input_size),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='cream_mm.LoadImageFromFile'),
    dict(type='Resize', scale=input_size),
    dict(type='PackInputs'),
]
train_set = dict(data_root=data_root, pipeline=train_pipeline, holdout=holdout)
held_out_set = dict(data_root=data_root, pipeline=test_pipeline, holdout=holdout)
train_dataloader = dict(
    batch_size=batch_size,
    dataset=dict(data_root=data_root, pipeline=train_pipeline, holdout=holdout),
)
test_dataloader = dict(
    dataset=dict(data_root=data_root, pipeline=test_pipeline, holdout=holdout),
)
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    dict(type='CosineAnnealingLR', eta_min=0, end=max_epochs, convert_to_iter_based=True),
]
test_cfg = dict(
    # So few steps tell nothing about single choices: cells are rated one by one.
    strategy=dict(_delete_=True, type='cream_mm.RegularizedEvolution', population=20, tournament=5),
    num=60,
    num_images=None,
    bn_dataset=dict(data_root=data_root, pipeline=test_pipeline, holdout=holdout),
)
auto_scale_lr = dict(base_batch_size=batch_size)
default_hooks = dict(logger=dict(interval=50))
env_cfg = dict(num_threads=1)
