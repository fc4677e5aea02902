# Cream on the cells of NAS-Bench-201: the same supernet as single-path training has there, with
# the prioritized board and the matching network. The paper claims that the method is general; the
# released code never ran it on another space.
#
#   python tools/train.py configs/cream/search_nb201.py --cfg-options data_root=data/cifar10 \
#       max_epochs=100
#
# The answer is written to work_dirs/search_nb201/best_arch.json. 1,000 epochs are for a GPU.
_base_ = '../spos/search_nb201.py'

input_size = 32
num_classes = 10
budget = dict()
max_epochs = 1000
data_root = 'data/cifar10'
test_pipeline = [
    dict(type='cream_mm.LoadImageFromFile'),
    dict(type='Resize', scale=input_size),
    dict(type='PackInputs'),
]

model = dict(
    type='cream_mm.Cream',
    input_size=input_size,
    budget=budget,
    board=dict(capacity=10, num_images=4),
    matching=dict(type='cream_mm.MetaMatching'),
    compat=dict(answer='board'),
    # The supernet's costs and budget are set by Cream itself.
    backbone=dict(costs=None, budget=None),
)
custom_hooks = [
    dict(type='cream_mm.BoardHook', warmup=0.1),  # share of the training without distillation
    dict(
        type='cream_mm.MetaMatchingHook',
        dataset=dict(
            type='cream_mm.ImageFolder', data_root=data_root, part='holdout', holdout=0.2,
            pipeline=test_pipeline,
        ),
        interval=200,
        num_images=4,
    ),
]  # fmt: skip
# The answer is the best-rated cell of the board; tools/search.py looks further.
test_cfg = dict(type='cream_mm.BoardRatingLoop', strategy=None)
