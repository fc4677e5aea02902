# Train one fixed network from scratch: the published Cream recipe.
#
#   python tools/train.py configs/cream/retrain_imagenet.py --cfg-options \
#       model.backbone.arch=work_dirs/search_imagenet/best_arch.json data_root=FOLDER
#
# FOLDER holds train/<class>/*.jpg and val/<class>/*.jpg; any number of classes.
# This is the released recipe of cream-287m: 8 GPUs x 128, 510 epochs. retrain_cream-*.py give each
# published network its own; retrain_imagenet_paper.py is what is known of the paper's.
# Published top-1: 77.6 %. Not reproduced here; a user of the released code reports 77.07 with it
# (microsoft/Cream, issue 160).
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
# timm's set, in which a magnitude does not always mean a stronger effect; level 9 of 10. Two ops
# are drawn, and each is applied with probability 0.5. The numbers are those of timm 0.1.20; the
# geometric ops are bicubic here, and bilinear or bicubic at random in the released code.
rand_augment_policies = [
    dict(type='AutoContrast'),
    dict(type='Equalize'),
    dict(type='Invert'),
    dict(type='Rotate', magnitude_range=(0, 30)),
    # timm keeps floor(4 * level / 10) bits and inverts from floor(256 * level / 10) on; mmpretrain
    # rounds both up. ceil(x - 1 + tiny) = floor(x).
    dict(type='Posterize', magnitude_range=(-1 + 1e-6, 3 + 1e-6)),
    dict(type='Solarize', magnitude_range=(-1 + 1e-6, 255 + 1e-6)),
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
    dict(type='cream_mm.RandomResizedCrop', scale=input_size),
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
    # Released: N(0, 1) after normalisation. Here the same before it, in uint8: what exceeds 0..255
    # is clipped, which leaves means of -0.01 to 0.01 and deviations of 0.96 to 0.97 after
    # normalisation. A box that does not fit (0.6 %) is clipped too, where timm draws another.
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
    dict(type='cream_mm.LoadImageFromFile'),
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
param_scheduler = [  # the cosine counts from epoch 0; 10 epochs at eta_min follow
    dict(type='cream_mm.WarmupCosineLR', warmup_epochs=3, warmup_lr=1e-6, T_max=500, eta_min=1e-5),
]
# lr is for 8 x 128 images per step and is scaled to what you run; warmup_lr and eta_min are not.
auto_scale_lr = dict(enable=True, base_batch_size=1024)
# accuracy/top1 is that of the averaged weights, w_ema = (1 - m) w_ema + m w after every step, batch
# norm's statistics included; `state_dict` of a checkpoint holds them. raw_accuracy/top1 is that of
# w, measured in a second validation; without it: --cfg-options custom_hooks.0.raw_metrics=False
# Released: m = 0.0001 from the first step on, which leaves 96 % of a run of 400 steps with the
# first weights. Here after step n m = max(0.0001, 10 / (10 + n)): the average reaches back over the
# last tenth of the run so far, and is the released one from step 99,990 on, of 638,000. By the end
# what was before has a share of exp(-54). retrain_imagenet_paper.py keeps the released rule.
custom_hooks = [
    dict(type='cream_mm.EMAHook', momentum=1e-4, gamma=10, update_buffers=True,
         priority='ABOVE_NORMAL'),
]  # fmt: skip
default_hooks = dict(checkpoint=dict(save_best='auto'))
visualizer = dict(type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')])
