# NAO-V2 on real handwritten digits, a few minutes on two CPU cores: three phases of training, and
# after each the ratings of all networks so far lead to the pool of the next one.
#
#   python tools/prepare_digits.py
#   python tools/train.py configs/demo/nao_digits.py --work-dir work_dirs/demo/nao
#   python tools/export_arch.py work_dirs/demo/nao
#   python tools/train.py work_dirs/demo/nao/export/retrain.py --work-dir work_dirs/demo/nao_retrain
#   python tools/report.py work_dirs/demo/nao --retrain work_dirs/demo/nao_retrain
_base_ = '../nao_v2/search_cifar10.py'

data_root = 'data/digits'
input_size = 28
batch_size = 64
max_epochs = 9
phases = 3
num_workers = 0  # two cores are better spent on the network than on 28-pixel images
channels = 8

model = dict(
    backbone=dict(
        space=dict(channels=channels, num_cells=1),
        costs=dict(input_size=input_size),
        drop_path_rate=0.0,  # a network sees each digit a few times only
    ),
    head=dict(in_channels=4 * channels),
    data_preprocessor=dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5]),
)
train_pipeline = [  # no augmentation, for the same reason
    dict(type='cream_mm.LoadImage'),
    dict(type='Resize', scale=input_size),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='cream_mm.LoadImageFromFile'),
    dict(type='Resize', scale=input_size),
    dict(type='PackInputs'),
]
train_set = dict(data_root=data_root, pipeline=train_pipeline)
held_out_set = dict(data_root=data_root, pipeline=test_pipeline)
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=num_workers,
    persistent_workers=False,
    dataset=dict(data_root=data_root, pipeline=train_pipeline),
)
test_dataloader = dict(
    num_workers=num_workers, dataset=dict(data_root=data_root, pipeline=test_pipeline)
)
train_cfg = dict(
    max_epochs=max_epochs,
    phases=phases,
    num_new=20,
    sampler=dict(pool_size=40),
    # Of so few networks each is fitted, until all are known.
    strategy=dict(num_seeds=20, epochs=200, until_known=True, held_share=0.0),
)
test_cfg = dict(
    bn_dataset=dict(data_root=data_root, pipeline=test_pipeline),
    next_steps=dict(retrain='configs/demo/nao_retrain_digits.py'),
)
optim_wrapper = dict(optimizer=dict(lr=0.1))
param_scheduler = [dict(type='cream_mm.CosinePhasesLR', phases=phases, eta_min=0.001)]
custom_hooks = [dict(type='cream_mm.DropPathHook', phases=phases)]
default_hooks = dict(logger=dict(interval=10))
env_cfg = dict(num_threads=1)
