# Ablation of Cream's matching. The path of the board teaches whose answers on
# its images differ least, at a rate of 0.5.
_base_ = './spos.py'

model = dict(
    board=dict(_delete_=True, capacity=10, num_images=4),
    matching=dict(_delete_=True, type='cream_mm.NearestMatching'),
)
custom_hooks = [dict(type='cream_mm.BoardHook', warmup=0.175)]
