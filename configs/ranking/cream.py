# Cream: the paths on the board teach, and the meta matching network picks which.
_base_ = './spos.py'

data_root = 'data/cifar10_16'
model = dict(
    board=dict(_delete_=True, capacity=10, num_images=4),
    matching=dict(_delete_=True, type='cream_mm.MetaMatching'),
)
custom_hooks = [
    dict(type='cream_mm.BoardHook', warmup=0.175),
    dict(
        type='cream_mm.MetaMatchingHook',
        dataset=dict(
            type='cream_mm.ImageFolder',
            data_root=data_root,
            part='holdout',
            holdout='auto',  # as the search: 2 % of 50,000
            pipeline=_base_.test_pipeline,
        ),
        interval=20,
        num_images=16,
    ),
]
