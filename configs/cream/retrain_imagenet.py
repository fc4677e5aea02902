# Train one fixed network from scratch: the published Cream recipe.
#
#   python tools/train.py configs/cream/retrain_imagenet.py --cfg-options \
#       model.backbone.arch=work_dirs/search_imagenet/best_arch.json data_root=FOLDER
#
# FOLDER holds train/<class>/*.jpg and val/<class>/*.jpg; any number of classes.
# Published for cream-287m: 8 GPUs x 128, 500 epochs, 77.6 % top-1. Not reproduced here; users of
# the released code report 77.04 with this recipe.
_base_ = '../_base_/default_runtime.py'
default_scope = 'mmpretrain'

# ---- often changed; a value given with --cfg-options reaches every place that uses it ------------
data_root = 'data/imagenet'
num_classes = 1000  # taken from the folders of data_root/train when they are others
input_size = 224
batch_size = 128  # per GPU
max_epochs = 510  # 500, and 10 at the lowest learning rate
num_workers = 8

# ---- model ---------------------------------------------------------------------------------------
model = dict(
    type='ImageClassifier',
    # a published name, an exported .json, or a nested list
    backbone=dict(type='cream_mm.CreamNet', arch='cream-287m'),
    head=dict(
        type='cream_mm.CreamClsHead',
        num_classes=num_classes,
        in_channels=320,
        dropout=0.2,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
    ),
    data_preprocessor=dict(
        num_classes=num_classes,
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        to_rgb=True,
    ),
)

# ---- data ----------------------------------------------------------------------------------------
bgr_mean, bgr_std = [103.53, 116.28, 123.675], [57.375, 57.12, 58.395]
# timm's set, in which a magnitude does not always mean a stronger effect; level 9 of 10.
rand_augment_policies = [
    dict(type='AutoContrast'),
    dict(type='Equalize'),
    dict(type='Invert'),
    dict(type='Rotate', magnitude_range=(0, 30)),
    dict(type='Posterize', magnitude_range=(0, 4)),  # bits that are kept
    dict(type='Solarize', magnitude_range=(0, 256)),
    dict(type='SolarizeAdd', magnitude_range=(0, 110)),
    # factor = 0.1 + 1.8 * level / 10; mmpretrain takes factor - 1
    dict(type='ColorTransform', magnitude_range=(-0.9, 0.9), random_negative_prob=0.0),
    dict(type='Contrast', magnitude_range=(-0.9, 0.9), random_negative_prob=0.0),
    dict(type='Brightness', magnitude_range=(-0.9, 0.9), random_negative_prob=0.0),
    dict(type='Sharpness', magnitude_range=(-0.9, 0.9), random_negative_prob=0.0),
    dict(type='Shear', magnitude_range=(0, 0.3), direction='horizontal'),
    dict(type='Shear', magnitude_range=(0, 0.3), direction='vertical'),
    dict(type='Translate', magnitude_range=(0, 0.45), direction='horizontal'),
    dict(type='Translate', magnitude_range=(0, 0.45), direction='vertical'),
]
train_pipeline = [
    dict(type='cream_mm.LoadImage'),
    dict(type='RandomResizedCrop', scale=input_size, interpolation='bicubic', backend='pillow'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(
        type='RandAugment',
        policies=rand_augment_policies,
        num_policies=2,
        total_level=10,
        magnitude_level=9,
        magnitude_std=0.5,
        hparams=dict(pad_val=[round(x) for x in bgr_mean], interpolation='bicubic'),
    ),
    dict(
        type='RandomErasing',
        erase_prob=0.2,
        mode='rand',
        min_area_ratio=0.02,
        max_area_ratio=1 / 3,
        aspect_range=(0.3, 1 / 0.3),
        fill_color=bgr_mean,
        fill_std=bgr_std,
    ),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='cream_mm.LoadImage', on_error='partial'),
    dict(type='ResizeEdge', scale=256, edge='short', interpolation='bicubic', backend='pillow'),
    dict(type='CenterCrop', crop_size=input_size),
    dict(type='PackInputs'),
]
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=num_workers,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='cream_mm.ImageFolder', data_root=data_root, pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=256,
    num_workers=num_workers,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='cream_mm.ImageFolder', data_root=data_root, folder='val', pipeline=test_pipeline
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='Accuracy', topk=(1, 5))
test_evaluator = val_evaluator

# ---- schedule ------------------------------------------------------------------------------------
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=1)
val_cfg = dict()
test_cfg = dict()
optim_wrapper = dict(
    constructor='cream_mm.MergedGroupsConstructor',  # two groups, not one per parameter
    optimizer=dict(
        type='cream_mm.RMSpropTF', lr=0.064, alpha=0.9, momentum=0.9, eps=1e-3, weight_decay=1e-5
    ),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6 / 0.064, end=4),  # reaches lr in the epoch of index 3
    dict(type='CosineAnnealingLR', eta_min=1e-5, begin=3, end=500),
]
auto_scale_lr = dict(enable=True, base_batch_size=1024)
custom_hooks = [  # the reported accuracy is that of the averaged weights
    dict(type='EMAHook', momentum=1e-4, update_buffers=True, priority='ABOVE_NORMAL'),
]
default_hooks = dict(checkpoint=dict(save_best='auto'))
