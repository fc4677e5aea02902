# NAO-V2 as its released code does it, where that differs from search_cifar10.py: pools and
# proposals may hold a network twice, in two ways of writing; the learning rate starts anew in no
# phase; what a step does not use decays and coasts.
#
#   python tools/train.py configs/nao_v2/search_cifar10_official.py \
#       --cfg-options data_root=data/cifar10
_base_ = './search_cifar10.py'

# In ratings the norms of the stem, and in front of concatenations, keep to running statistics.
model = dict(backbone=dict(official_rating=True))
train_cfg = dict(
    # Gradients of zero, as in the PyTorch of that time: weight decay and momentum move whatever was
    # trained once, whether a step uses it or not.
    zero_grad='zero',
    sampler=dict(official=True),
    strategy=dict(official=True),
)
param_scheduler = [
    dict(type='cream_mm.CosinePhasesLR', phases=_base_.phases, eta_min=0.001, official=True)
]
