# The vanilla supernet on the cells of NAS-Bench-201, whose 15,625 accuracies are known: a set of
# weights for each edge, one random cell a step. Reduced: one cell a stage in place of five, images
# of 16 pixels. CLOSE beside it: close.py.
#
#   python tools/prepare_images.py data/cifar10 data/cifar10_16 --size 16 --pack
#   python tools/train.py configs/ranking/nb201.py --work-dir work_dirs/ranking/nb201
#   python tools/rank_correlation.py configs/ranking/nb201.py \
#       work_dirs/ranking/nb201/epoch_100.pth data/nasbench201_200epoch.csv --num 500
#
# With seeds, records, equal seconds: benchmarks/ranking/close.py. Results: docs/results/close.md.
#
# The recipe is the released one, but for the schedule. That halves the learning rate when the loss
# has stood still for 30 epochs, in the published logs first after 336 to 437 of 1,000; in a
# training of 100, the last weights would be rated at the first learning rate. Here it is a cosine.
_base_ = '../spos/search_nb201.py'

data_root = 'data/cifar10_16'
input_size = 16
max_epochs = 100
num_workers = 0

model = dict(backbone=dict(space=dict(num_cells=1), costs=dict(input_size=input_size)))
train_pipeline = [
    dict(type='cream_mm.LoadImage'),
    dict(type='RandomCrop', crop_size=input_size, padding=input_size // 8),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
test_pipeline = [dict(type='cream_mm.LoadImageFromFile'), dict(type='PackInputs')]
train_set = dict(data_root=data_root, pipeline=train_pipeline)
held_out_set = dict(data_root=data_root, pipeline=test_pipeline)
train_dataloader = dict(num_workers=num_workers, persistent_workers=False, dataset=train_set)
test_dataloader = dict(num_workers=num_workers, dataset=held_out_set)
test_cfg = dict(
    strategy=None,
    num_images=2000,
    bn_dataset=dict(data_root=data_root, pipeline=test_pipeline),
    next_steps=dict(_delete_=True),
)
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    dict(type='CosineAnnealingLR', eta_min=0, end=max_epochs, convert_to_iter_based=True),
]
default_hooks = dict(checkpoint=dict(interval=25, max_keep_ckpts=-1))  # for a curve
