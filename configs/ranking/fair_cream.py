# Strict fairness with Cream's board: the three paths of a round, one step of the optimizer, each
# learn from a path of the board, too. As many images as single-path training.
_base_ = './cream.py'

train_cfg = dict(sampler=dict(type='cream_mm.FairPathSampler'))
optim_wrapper = dict(accumulative_counts=3)
