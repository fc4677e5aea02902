# Train one network of NAS-Bench-201's space from scratch: the benchmark's recipe for CIFAR.
#
#   python tools/train.py configs/nas_bench_201/retrain_cifar.py --cfg-options \
#       model.backbone.arch=work_dirs/search_nb201/best_arch.json data_root=data/cifar10
#
# data_root holds train/<class>/*.jpg and val/<class>/*.jpg; any number of classes. Images of other
# sizes are resized to input_size. The benchmark's recipe: 200 epochs of 256 images, no dropout.
# Published top-1 of this cell on CIFAR-10, the best of all there: 94.37 %. Not reproduced here.
_base_ = '../_base_/default_runtime.py'
default_scope = 'mmpretrain'

# ---- often changed; a value given with --cfg-options reaches every place that uses it ------------
data_root = 'data/cifar10'
num_classes = 10  # taken from the folders of data_root/train when they are others
input_size = 32
batch_size = 256
max_epochs = 200
num_workers = 4

# ---- model ---------------------------------------------------------------------------------------
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='cream_mm.NASBench201Net',
        # As the benchmark writes it, an exported .json, or a nested list. A file brings its space;
        # what is set here, such as space=dict(stem_stride=4) for photographs, wins over it.
        arch='|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|'
        '+|skip_connect~0|nor_conv_1x1~1|nor_conv_3x3~2|',
    ),
    head=dict(
        type='cream_mm.CreamClsHead',
        num_classes=num_classes,
        in_channels=64,  # 4 times the space's channels
        hidden_channels=None,
    ),
    data_preprocessor=dict(
        num_classes=num_classes,
        mean=[125.307, 122.950, 113.865],
        std=[62.993, 62.089, 66.705],
        to_rgb=True,
    ),
)

# ---- data ----------------------------------------------------------------------------------------
train_pipeline = [
    dict(type='cream_mm.LoadImage'),
    dict(type='Resize', scale=input_size),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomCrop', crop_size=input_size, padding=input_size // 8),
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
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4),
)
param_scheduler = [  # to 0 along a cosine, every iteration
    dict(type='CosineAnnealingLR', eta_min=0, end=max_epochs, convert_to_iter_based=True),
]
# lr is for 256 images per step and is scaled to what you run.
auto_scale_lr = dict(enable=True, base_batch_size=256)
default_hooks = dict(checkpoint=dict(save_best='auto'))
visualizer = dict(type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')])
