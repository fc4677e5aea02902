# Search a cell of the NAS-Bench-201 space by plain single-path training (SPOS): an unchanged
# ImageClassifier of mmpretrain around the supernet, one random cell per step.
#
#   python tools/train.py configs/spos/search_nb201.py --cfg-options data_root=data/cifar10 \
#       max_epochs=100 lr=0.05
#
# data_root holds train/<class>/*.jpg and val/<class>/*.jpg; any number of classes. The answer is
# written to work_dirs/search_nb201/best_arch.json, and a set of answers, small to large, to
# front.json. 1,000 epochs of CIFAR-10 are for a GPU and were not run here.
_base_ = '../_base_/default_runtime.py'
default_scope = 'mmpretrain'

# ---- often changed; a value given with --cfg-options reaches every place that uses it ------------
data_root = 'data/cifar10'
num_classes = 10  # taken from the folders of data_root/train when they are others
input_size = 32  # images of other sizes are resized
# Millions of multiply-adds at input_size, classifier included. Cells of this space cost 8 to 220 M
# at 32 pixels. For example budget=dict(macs_m=(0, 100)).
budget = dict()
batch_size = 256
max_epochs = 1000
lr = 0.05
num_workers = 4

# ---- model ---------------------------------------------------------------------------------------
channels = 16  # of the first stage; 2 and 4 times as many in the others
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='cream_mm.NASBench201Supernet',
        # Cells in each of three stages. stem_stride=1 for small images; 4 for photographs.
        space=dict(channels=channels, num_cells=5, stem_stride=1),
        costs=dict(input_size=input_size, num_classes=num_classes, head_channels=0),
        budget=budget,
    ),
    head=dict(
        type='cream_mm.CreamClsHead',
        num_classes=num_classes,
        in_channels=4 * channels,
        hidden_channels=None,
        dropout=0.1,
        # As torch's own; Cream's depends on the number of classes.
        init_cfg=dict(type='Uniform', layer='Linear', a=-0.125, b=0.125),
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
    dict(type='RandomCrop', crop_size=input_size, padding=input_size // 8),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='cream_mm.LoadImageFromFile'),
    dict(type='Resize', scale=input_size),
    dict(type='PackInputs'),
]
# Cells are rated on training images that were held out of the training: a fifth, as published.
holdout = 0.2
train_set = dict(
    type='cream_mm.ImageFolder',
    data_root=data_root,
    part='train',
    holdout=holdout,
    pipeline=train_pipeline,
)
held_out_set = dict(
    type='cream_mm.ImageFolder',
    data_root=data_root,
    part='holdout',
    holdout=holdout,
    pipeline=test_pipeline,
)
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=num_workers,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=train_set,
)
test_dataloader = dict(
    batch_size=250,  # of whose statistics batch norm is: nearly as published, and all are whole
    num_workers=num_workers,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=held_out_set,
)
# None while training: a cell by the running statistics of all says nothing.
val_dataloader = val_cfg = val_evaluator = None

# ---- search --------------------------------------------------------------------------------------
train_cfg = dict(
    type='cream_mm.SupernetTrainLoop',
    max_epochs=max_epochs,
    # One of the 6,321 different cells within the budget that can be trained.
    sampler=dict(type='cream_mm.PathSampler'),
)
default_hooks = dict(
    path_log=dict(type='cream_mm.PathLogHook'),  # each step's cell and loss: path_log.jsonl
)
visualizer = dict(type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')])
test_cfg = dict(
    type='cream_mm.SearchLoop',  # runs when the training ends
    # Cells are rated one by one: after so long a training ratings have a tau of 0.74 in published
    # logs, and sums of single edges' effects end at 0.69. In a short one the effects are better
    # (docs/results/close.md): strategy=None, as in search_nb201_cpu.py.
    strategy=dict(type='cream_mm.RegularizedEvolution', population=50, tournament=10),
    num=300,
    bn_policy='batch_stats',  # as published
    bn_dataset=dict(train_set, pipeline=test_pipeline),
    num_random=20,
    num_images=5000,
    next_steps=dict(
        retrain='configs/nas_bench_201/retrain_cifar.py',
        detector='configs/detection/retinanet_nb201_fpn_1x_coco.py',
    ),
)
test_evaluator = dict(type='Accuracy', topk=(1,))

# On several GPUs the gradients of the step's path are exchanged, not those of all paths.
model_wrapper_cfg = dict(type='cream_mm.PathDataParallel')

# ---- schedule ------------------------------------------------------------------------------------
optim_wrapper = dict(
    optimizer=dict(type='SGD', lr=lr, momentum=0.9, weight_decay=5e-4),
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = [  # to 0 along a cosine, every iteration
    dict(type='CosineAnnealingLR', eta_min=0, end=max_epochs, convert_to_iter_based=True),
]
# lr is for 256 images per step and is scaled to what you run.
auto_scale_lr = dict(enable=True, base_batch_size=256)
