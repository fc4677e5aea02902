# Ablation of Cream's matching. The best path on the board teaches, at a rate of 0.5.
_base_ = './spos.py'

model = dict(board=dict(_delete_=True, capacity=10, num_images=4), matching=None)
custom_hooks = [dict(type='cream_mm.BoardHook', warmup=0.175)]
