# What nao.py is compared with: the same pool, each network drawn alike. As many CPU seconds, not
# images: drawn in proportion to their weights, networks are larger, and a step costs 5.8 % more
# (benchmarks/ranking/nao.py --pilot). So each 18th image stands twice in an epoch: 404 steps in
# place of 382.
_base_ = './nao.py'

train_cfg = dict(sampler=dict(proportional_to=None))
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[_base_.train_set, dict(_base_.train_set, indices=list(range(0, 49000, 18)))],
    )
)
