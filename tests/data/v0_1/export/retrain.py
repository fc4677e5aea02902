# Retrain [[0],[1],[0,0],[0]].
#
#   python tools/train.py THIS_FILE --cfg-options data_root=FOLDER
#
# A value given with --cfg-options reaches every place that uses it.
data_root = 'data'
num_classes = 3
input_size = 16
batch_size = 6
max_epochs = 510
num_workers = 0
classes = ('a', 'b', 'c')
train_pipeline = [
    dict(type='cream_mm.LoadImage'),
    dict(type='cream_mm.RandomResizedCrop', scale=input_size),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(
        type='RandAugment',
        policies=[
            dict(type='AutoContrast'),
            dict(type='Equalize'),
            dict(type='Invert'),
            dict(type='Rotate', magnitude_range=(0, 30)),
            dict(type='Posterize', magnitude_range=(-0.999999, 3.000001)),
            dict(type='Solarize', magnitude_range=(-0.999999, 255.000001)),
            dict(type='SolarizeAdd', magnitude_range=(0, 110)),
            dict(type='ColorTransform', magnitude_range=(-0.9, 0.9), random_negative_prob=0.0),
            dict(type='Contrast', magnitude_range=(-0.9, 0.9), random_negative_prob=0.0),
            dict(type='Brightness', magnitude_range=(-0.9, 0.9), random_negative_prob=0.0),
            dict(type='Sharpness', magnitude_range=(-0.9, 0.9), random_negative_prob=0.0),
            dict(type='Shear', magnitude_range=(0, 0.3), direction='horizontal'),
            dict(type='Shear', magnitude_range=(0, 0.3), direction='vertical'),
            dict(type='Translate', magnitude_range=(0, 0.45), direction='horizontal'),
            dict(type='Translate', magnitude_range=(0, 0.45), direction='vertical'),
        ],
        num_policies=2,
        total_level=10,
        magnitude_level=9,
        magnitude_std=0.5,
        hparams=dict(pad_val=[104, 116, 124], interpolation='bicubic'),
    ),
    dict(
        type='RandomErasing',
        erase_prob=0.2,
        mode='rand',
        min_area_ratio=0.02,
        max_area_ratio=0.3333333333333333,
        aspect_range=(0.3, 3.3333333333333335),
        fill_color=[103.52999877929688, 116.27999877929688, 123.67500305175781],
        fill_std=[57.375, 57.119998931884766, 58.39500045776367],
    ),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='cream_mm.LoadImage', on_error='partial'),
    dict(type='ResizeEdge', scale=18, edge='short', interpolation='bicubic', backend='pillow'),
    dict(type='CenterCrop', crop_size=input_size),
    dict(type='PackInputs'),
]
custom_imports = dict(imports=['cream_mm'])
runner_type = 'cream_mm.Runner'
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=100),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='cream_mm.CheckpointHook', interval=1, max_keep_ckpts=2, save_best='auto'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    finite_loss=dict(type='cream_mm.FiniteLossHook', action='stop'),
    norm_stats=dict(type='cream_mm.NormStatsHook'),
    label_range=dict(type='cream_mm.LabelRangeHook'),
)
env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
log_processor = dict(by_epoch=True)
log_level = 'INFO'
resume = False
randomness = dict(seed=0)
default_scope = 'mmpretrain'
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='cream_mm.CreamNet',
        arch=[[0], [1], [0, 0], [0]],
        space=dict(
            name='cream',
            depths=[1, 2],
            choices=[[3, 1], [5, 2]],
            widths=[8, 8],
            strides=[2, 2],
            stem_channels=8,
            stem_stride=1,
            final_channels=16,
            width_mult=1.0,
            in_channels=3,
            first_channels=None,
            head_channels=1280,
            act='silu',
            se='cream',
        ),
        norm_cfg=dict(eps=1e-05, momentum=0.1, type='BN'),
    ),
    head=dict(
        type='cream_mm.CreamClsHead',
        num_classes=num_classes,
        in_channels=16,
        dropout=0.2,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
        hidden_channels=16,
    ),
    data_preprocessor=dict(
        num_classes=num_classes,
        mean=[123.67500305175781, 116.27999877929688, 103.52999877929688],
        std=[58.39500045776367, 57.119998931884766, 57.375],
        to_rgb=True,
    ),
)
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=num_workers,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='cream_mm.ImageFolder',
        data_root=data_root,
        pipeline=train_pipeline,
        metainfo=dict(classes=classes),
    ),
)
val_dataloader = dict(
    batch_size=256,
    num_workers=num_workers,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='cream_mm.ImageFolder',
        data_root=data_root,
        folder='val',
        pipeline=test_pipeline,
        metainfo=dict(classes=classes),
    ),
)
test_dataloader = dict(
    batch_size=256,
    num_workers=num_workers,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='cream_mm.ImageFolder',
        data_root=data_root,
        folder='val',
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(
                type='mmpretrain.ResizeEdge',
                scale=18,
                edge='short',
                interpolation='bicubic',
                backend='pillow',
            ),
            dict(type='mmpretrain.CenterCrop', crop_size=input_size),
            dict(type='mmpretrain.PackInputs'),
        ],
        metainfo=dict(classes=classes),
    ),
)
val_evaluator = dict(type='Accuracy', topk=(1,))
test_evaluator = dict(type='Accuracy', topk=(1,))
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=1)
val_cfg = dict()
test_cfg = dict()
optim_wrapper = dict(
    constructor='cream_mm.MergedGroupsConstructor',
    optimizer=dict(
        type='cream_mm.RMSpropTF',
        lr=0.064,
        alpha=0.9,
        momentum=0.9,
        eps=0.001,
        weight_decay=1e-05,
    ),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
)
param_scheduler = [
    dict(
        type='cream_mm.WarmupCosineLR',
        warmup_epochs=3,
        warmup_lr=1e-06,
        T_max=500,
        eta_min=1e-05,
    ),
]
auto_scale_lr = dict(enable=True, base_batch_size=1024)
custom_hooks = [
    dict(
        type='cream_mm.EMAHook',
        momentum=0.0001,
        gamma=10,
        update_buffers=True,
        priority='ABOVE_NORMAL',
    ),
]
