# The released code's choices that change numbers and that we leave out elsewhere, each by a golden
# number or a test; docs/dna.md lists them.
_base_ = './search_imagenet.py'

model = dict(
    late_bn_momentum=1.0,  # its first rating leaves the momentum of batch norm at 1
    backbone=dict(
        # One cell per block, as in the released supernet.
        space=dict(cells=[[(2, 24)], [(4, 40)], [(4, 80)], [(4, 112)], [(4, 192)], [(1, 320)]]),
    ),
)
# Gradients of operations that a step did not draw are zero and not absent: Adam's momentum and the
# weight decay go on moving them.
train_cfg = dict(zero_grad='zero')
max_epochs = 20
param_scheduler = [
    dict(type='ExponentialLR', gamma=0.9),
    # The first epoch is decayed already: 0.0045 where the rate is called 0.005.
    dict(type='ConstantLR', factor=0.9, begin=0, end=max_epochs + 1),
]
