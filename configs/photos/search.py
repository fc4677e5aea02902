# "I have a folder of images and a budget": smaller networks from one with ImageNet weights.
#
#   python tools/train.py configs/photos/search.py --cfg-options data_root=FOLDER
#
# FOLDER holds train/<class>/*.jpg; any number of classes, a few hundred photographs or more. The
# network that `start` names is fine-tuned on them (full.pth), then its slices are trained together,
# rated on photographs that were held out, and joined to about eight networks, small to large:
# work_dirs/search/front.json, and best_arch.json within the budget. docs/photos.md tells the way.
_base_ = '../_base_/default_runtime.py'
default_scope = 'mmpretrain'

# ---- often changed; a value given with --cfg-options reaches every place that uses it ------------
data_root = 'data/photos'
num_classes = 1000  # taken from the folders of data_root/train when they are others
# Where the weights are from: 'lite0', 'lite1' or 'lite2' (ImageNet, of an installed package), a
# converted Cream checkpoint, or a network of your own: the work directory or FILE.pth of a
# retraining, or the folder of an export. The normalisation comes with the weights. If your own
# knows the same classes, it is not fine-tuned again.
start = 'lite0'
input_size = 128  # pixels; the largest that a network of the front may have
input_sizes = [128, 112, 96]  # what a network may take; [128] fixes it. Follows input_size
# Millions of multiply-adds, head included. None: the front spans all that the start offers.
# "python tools/get_flops.py configs/photos/search.py" tells the range; budget.macs_m=[40,80]
# keeps the front within it.
budget = dict(macs_m=None)
batch_size = 64
max_epochs = 30
min_steps = 750  # a set of few photographs gets more epochs, unless max_epochs is given
# Of max_epochs: the whole network on the labels; the rest is for its slices, and 1 leaves that out.
# Twenty epochs of slices rated better than six, at half and at 70 % of the cost
# (docs/results/photos.md).
full_share = 0.33
# Share of the training images that paths are rated on; the last fine-tuning trains on them again.
# Few images flatter what they choose: the path chosen by 307 had 4 points more on these than on a
# test set (one run). Of more than 5,000 photographs 'auto' (500, or 2 %) is enough.
holdout = 0.2
num_workers = 2
lr = 4e-4

# ---- model ---------------------------------------------------------------------------------------
# config/start_network.py puts in what `start` decides: architecture, space, weights, head and
# normalisation.
model = dict(
    type='cream_mm.DistilledClassifier',
    distill_weight=0.7,
    backbone=dict(
        type='cream_mm.ElasticSupernet',
        arch='lite0',
        expansions=(6, 4, 3, 2),
        kernels=(7, 5, 3),
        input_sizes=input_sizes,
        costs=dict(input_size=input_size, num_classes=num_classes),
        budget=budget,
        init_cfg=None,
    ),
    head=dict(
        type='cream_mm.CreamClsHead',
        num_classes=num_classes,
        in_channels=320,
        hidden_channels=1280,
        norm_cfg=dict(type='BN', eps=1e-3),
        act='relu6',
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
        init_cfg=None,
    ),
    data_preprocessor=dict(num_classes=num_classes, mean=[127.0] * 3, std=[128.0] * 3, to_rgb=True),
)

# ---- data ----------------------------------------------------------------------------------------
train_pipeline = [
    dict(type='cream_mm.LoadImage'),
    dict(type='cream_mm.RandomResizedCrop', scale=input_size, crop_ratio_range=(0.4, 1.0)),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='ColorJitter', brightness=0.2, contrast=0.2, saturation=0.2),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='cream_mm.LoadImageFromFile'),
    dict(type='ResizeEdge', scale=146, edge='short', interpolation='bicubic', backend='pillow'),
    dict(type='CenterCrop', crop_size=input_size),
    dict(type='PackInputs'),
]
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
    batch_size=256,
    num_workers=num_workers,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=held_out_set,
)

# ---- search --------------------------------------------------------------------------------------
train_cfg = dict(
    type='cream_mm.ElasticTrainLoop',
    max_epochs=max_epochs,
    full_share=full_share,
    paths='random',
    sampler=dict(type='cream_mm.CostPathSampler'),  # small and large ones alike
)
default_hooks = dict(path_log=dict(type='cream_mm.PathLogHook'))
visualizer = dict(type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')])
val_cfg = val_dataloader = val_evaluator = None
test_cfg = dict(
    type='cream_mm.SearchLoop',  # runs when the training ends
    strategy=dict(type='cream_mm.CombinedEffectsSearch'),
    num=60,  # paths to rate in all: two thirds random, then the best sums for parts of the budget
    num_random=0,
    bn_dataset=dict(train_set, pipeline=test_pipeline),
    num_images=1000,
    num_bn_images=512,
    next_steps=dict(retrain='configs/photos/finetune.py', detector='configs/retinanet_cream.py'),
)
test_evaluator = dict(type='Accuracy', topk=(1,))
model_wrapper_cfg = dict(type='cream_mm.PathDataParallel')

# ---- schedule ------------------------------------------------------------------------------------
optim_wrapper = dict(
    constructor='cream_mm.MergedGroupsConstructor',  # two groups, not one per parameter
    optimizer=dict(type='AdamW', lr=lr, weight_decay=0.02),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = [  # a cosine for the whole network, another one for its slices
    dict(type='cream_mm.TwoCosinesLR', T_max=max_epochs, full_share=full_share, warmup_epochs=0.7,
         convert_to_iter_based=True),
]  # fmt: skip
auto_scale_lr = dict(enable=True, base_batch_size=64)
