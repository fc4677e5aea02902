# The demo's second search: the same digits, from EfficientNet-Lite0's ImageNet weights; minutes.
#
#   python tools/prepare_digits.py
#   python tools/train.py configs/demo/search_lite0_digits.py --work-dir work_dirs/demo/lite0
#
# The same classes and loops as configs/photos/search.py, only smaller.
_base_ = '../photos/search.py'

data_root = 'data/digits'
num_classes = 10
input_size = 56  # the digits' 28 pixels, doubled: Lite0 halves its images five times
input_sizes = [56, 48, 40]
budget = dict(macs_m=(4, 14))  # millions of multiply-adds; the whole Lite0 has 29 at 56 x 56
max_epochs = 6
min_steps = None
full_share = 0.5
holdout = 0.1  # 40 digits of each class, as in the first search
num_workers = 0
lr = 1.5e-3  # digits are far from photographs: Lite0 has to learn more anew

model = dict(
    backbone=dict(
        input_sizes=input_sizes,
        costs=dict(input_size=input_size, num_classes=num_classes),
        budget=budget,
    ),
    head=dict(num_classes=num_classes),
    data_preprocessor=dict(num_classes=num_classes),
)
train_pipeline = [
    dict(type='cream_mm.LoadImage'),
    dict(type='Resize', scale=input_size),
    dict(type='RandomCrop', crop_size=input_size, padding=4),  # digits are not flipped
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='cream_mm.LoadImageFromFile'),
    dict(type='Resize', scale=input_size),
    dict(type='PackInputs'),
]
train_set = dict(data_root=data_root, holdout=holdout, pipeline=train_pipeline)
held_out_set = dict(data_root=data_root, holdout=holdout, pipeline=test_pipeline)
train_dataloader = dict(num_workers=num_workers, persistent_workers=False, dataset=train_set)
test_dataloader = dict(num_workers=num_workers, persistent_workers=False, dataset=held_out_set)
test_cfg = dict(
    num=40,
    num_images=None,
    bn_dataset=dict(data_root=data_root, holdout=holdout, pipeline=test_pipeline),
    num_bn_images=256,
    next_steps=dict(
        retrain='configs/demo/finetune_lite0_digits.py',
        detector='configs/demo/retinanet_lite0_digits.py',
    ),
)
train_cfg = dict(max_epochs=max_epochs, full_share=full_share)
optim_wrapper = dict(optimizer=dict(lr=lr))
param_scheduler = [
    dict(type='cream_mm.TwoCosinesLR', T_max=max_epochs, full_share=full_share, warmup_epochs=0.7,
         convert_to_iter_based=True),
]  # fmt: skip
default_hooks = dict(logger=dict(interval=20))
env_cfg = dict(num_threads=1)  # as in the first search
