# Strict fairness (FairNAS): three steps, whose paths have every choice of every layer once, make
# one step of the optimizer. As many images as single-path training.
_base_ = './spos.py'

train_cfg = dict(sampler=dict(type='cream_mm.FairPathSampler'))
optim_wrapper = dict(accumulative_counts=3)
