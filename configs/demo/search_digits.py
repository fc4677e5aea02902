# The demo's search: real handwritten digits, 28 x 28 pixels, a few minutes on two CPU cores.
#
#   python tools/prepare_digits.py
#   python tools/train.py configs/demo/search_digits.py --work-dir work_dirs/demo/search
#
# The same classes and loops as configs/cream/search_imagenet.py, only smaller.
_base_ = '../cream/search_imagenet.py'

data_root = 'data/digits'
num_classes = 10
input_size = 28
budget = dict(macs_m=(2.3, 3.2))  # millions of multiply-adds at 28 x 28
batch_size = 32
max_epochs = 20
num_workers = 0  # two cores are better spent on the network than on 28-pixel images

# Half the width, and a stem without stride: the last map is 2 x 2 instead of 1 x 1.
model = dict(
    input_size=input_size,
    budget=budget,
    backbone=dict(space=dict(depths=(1, 1, 2, 1, 1), width_mult=0.5, stem_stride=1)),
    head=dict(num_classes=num_classes, in_channels=160, hidden_channels=256),
    board=dict(capacity=8, num_images=2),
    data_preprocessor=dict(
        num_classes=num_classes, mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5]
    ),
)
train_pipeline = [  # no augmentation: a path sees each digit a few times only
    dict(type='cream_mm.LoadImage'),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='cream_mm.LoadImageFromFile'),
    dict(type='PackInputs'),
]
# 400 training digits per class; 40 of them are held out for rating.
train_set = dict(data_root=data_root, pipeline=train_pipeline, holdout=0.1)
held_out_set = dict(data_root=data_root, pipeline=test_pipeline, holdout=0.1)
train_dataloader = dict(batch_size=batch_size, num_workers=num_workers, dataset=train_set)
val_dataloader = dict(
    num_workers=num_workers, dataset=dict(data_root=data_root, pipeline=test_pipeline)
)
test_dataloader = dict(num_workers=0, dataset=held_out_set)

train_cfg = dict(max_epochs=max_epochs, val_interval=4, sampler=dict(op_prob=None))
custom_hooks = [
    dict(type='cream_mm.BoardHook', warmup=0.6),
    dict(
        type='cream_mm.MetaMatchingHook',
        dataset=dict(type='cream_mm.ImageFolder', part='holdout', **held_out_set),
        interval=20,
        num_images=16,
    ),
]
test_cfg = dict(
    bn_dataset=dict(data_root=data_root, pipeline=test_pipeline, holdout=0.1),
    num_bn_images=512,
    num_images=None,
    next_steps=dict(
        retrain='configs/demo/retrain_digits.py', detector='configs/demo/retinanet_digits.py'
    ),
)
optim_wrapper = dict(optimizer=dict(lr=0.3), clip_grad=dict(max_norm=5.0))
param_scheduler = [
    dict(type='LinearLR', start_factor=1.0, end_factor=1e-8, end=max_epochs,
         convert_to_iter_based=True),
]  # fmt: skip
auto_scale_lr = dict(enable=True, base_batch_size=32)
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval=4))
# So small a step takes no longer on one core than on two, and one does not wait for the other
# where other programs use the cores (docs/results/busy_cores.md).
env_cfg = dict(num_threads=1)
