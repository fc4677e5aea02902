# NAO-V2's balanced training: single paths out of a fixed pool of 1000 networks, each drawn in
# proportion to its weights. As many images as single-path training.
_base_ = './spos.py'

train_cfg = dict(sampler=dict(type='cream_mm.SizeProportionalSampler', pool_size=1000))
