# NAO-V2 on its own cells: networks are drawn from a pool in proportion to their size, and in four
# phases training and search take turns; a controller learns the ratings and proposes the next pool
# by going uphill in its latent space. The released recipe.
#
#   python tools/train.py configs/nao_v2/search_cifar10.py --cfg-options data_root=data/cifar10
#
# data_root holds train/<class>/*.jpg; any number of classes. The answer is written to
# work_dirs/search_cifar10/best_arch.json, a set of answers, small to large, to front.json. 200
# epochs of CIFAR-10 are for a GPU and were not run here; minutes: configs/demo/nao_digits.py. On
# the method: docs/nao_v2.md; as its code really does it: search_cifar10_official.py.
_base_ = '../_base_/default_runtime.py'
default_scope = 'mmpretrain'

# ---- often changed; a value given with --cfg-options reaches every place that uses it ------------
data_root = 'data/cifar10'
num_classes = 10  # taken from the folders of data_root/train when they are others
input_size = 32  # images of other sizes are resized
# Millions, of the network that is built in the end at the scale of the search, classifier
# included. For example budget=dict(params_m=(0, 0.5)). The published method has none.
budget = dict()
batch_size = 64
max_epochs = 200  # of all phases together
phases = 4
num_workers = 4

# ---- model ---------------------------------------------------------------------------------------
channels = 20  # of the first stage's nodes; 2 and 4 times as many in the others
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='cream_mm.NAOSupernet',
        # Normal cells in each of three stages. stem_stride=1 for small images; 4 for photographs.
        space=dict(channels=channels, num_cells=3, stem_stride=1),
        costs=dict(input_size=input_size, num_classes=num_classes, head_channels=0),
        budget=budget,
        drop_path_rate=0.1,  # of the last cell at the end of a phase, see DropPathHook
    ),
    head=dict(
        type='cream_mm.CreamClsHead',
        num_classes=num_classes,
        in_channels=4 * channels,
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
    dict(type='RandomCrop', crop_size=input_size, padding=input_size // 8),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='cream_mm.LoadImageFromFile'),
    dict(type='Resize', scale=input_size),
    dict(type='PackInputs'),
]
# Networks are rated on training images that were held out of the training: a tenth, as published.
holdout = 0.1
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
    batch_size=500,  # of whose statistics batch norm is, as published
    num_workers=num_workers,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=held_out_set,
)
# None while training: a network by the running statistics of all says nothing.
val_dataloader = val_cfg = val_evaluator = None

# ---- search --------------------------------------------------------------------------------------
train_cfg = dict(
    type='cream_mm.AlternatingLoop',
    max_epochs=max_epochs,
    phases=phases,
    num_new=300,  # networks of each pool after the first
    # Large networks are drawn more often; proportional_to=None draws all alike.
    sampler=dict(type='cream_mm.SizeProportionalSampler', pool_size=1000),
    # As released, a fit takes all its epochs, and a tenth of the networks is for the log alone.
    strategy=dict(
        type='cream_mm.NAOSearch', num_seeds=100, epochs=1000, until_known=False, held_share=0.1
    ),
)
test_cfg = dict(
    type='cream_mm.ArchiveRatingLoop',  # runs when the training ends
    bn_policy='batch_stats',  # as published
    bn_dataset=dict(train_set, pipeline=test_pipeline),
    num_random=20,
    num_images=500,  # the same for all networks: other ones for each would add 1.8 points of noise
    next_steps=dict(
        retrain='configs/nao_v2/retrain_cifar10.py',
        detector='configs/detection/retinanet_nao_fpn_1x_coco.py',
    ),
)
test_evaluator = dict(type='Accuracy', topk=(1,))
default_hooks = dict(
    path_log=dict(type='cream_mm.PathLogHook'),  # each step's network and loss: path_log.jsonl
)
custom_hooks = [dict(type='cream_mm.DropPathHook', phases=phases)]
visualizer = dict(type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')])

# On several GPUs the gradients of the step's path are exchanged, not those of all paths.
model_wrapper_cfg = dict(type='cream_mm.PathDataParallel')

# ---- schedule ------------------------------------------------------------------------------------
optim_wrapper = dict(
    optimizer=dict(type='SGD', lr=0.025, momentum=0.9, weight_decay=3e-4),
    clip_grad=dict(max_norm=5.0),
)
# Half a cosine to 0.001 in each phase, a step an epoch.
param_scheduler = [dict(type='cream_mm.CosinePhasesLR', phases=phases, eta_min=0.001)]
# lr is for 64 images per step and is scaled to what you run.
auto_scale_lr = dict(enable=True, base_batch_size=64)
