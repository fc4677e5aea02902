# The demo's fine-tuning: the network that its second search found, taught by the whole Lite0.
#
#   python tools/train.py work_dirs/demo/lite0_export/retrain.py --work-dir work_dirs/demo/finetune
#
# tools/export_arch.py writes that retrain.py from this file: architecture, weights and teacher.
_base_ = '../photos/finetune.py'

data_root = 'data/digits'
num_classes = 10
input_size = 56
max_epochs = 4
min_steps = None
num_workers = 0
lr = 1.5e-3  # digits are far from photographs: Lite0 has to learn more anew

model = dict(
    head=dict(num_classes=num_classes),
    data_preprocessor=dict(num_classes=num_classes),
)
train_pipeline = [
    dict(type='cream_mm.LoadImage'),
    dict(
        type='RandAugment',  # as in retrain_digits.py
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
    dict(type='Resize', scale=input_size),
    dict(type='RandomCrop', crop_size=input_size, padding=4),  # digits are not flipped
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='cream_mm.LoadImageFromFile'),
    dict(type='Resize', scale=input_size),
    dict(type='PackInputs'),
]
train_dataloader = dict(
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
optim_wrapper = dict(optimizer=dict(lr=lr))
param_scheduler = [
    dict(type='cream_mm.WarmupCosineLR', warmup_epochs=0.7, T_max=max_epochs,
         convert_to_iter_based=True),
]  # fmt: skip
env_cfg = dict(num_threads=1)  # as in the searches
