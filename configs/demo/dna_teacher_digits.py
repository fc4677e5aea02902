# The teacher of the demo's block-wise search: a network of the same skeleton, trained alone on the
# digits, a minute or two.
#
#   python tools/prepare_digits.py
#   python tools/train.py configs/demo/dna_teacher_digits.py --work-dir work_dirs/demo/dna_teacher
_base_ = './retrain_digits.py'

max_epochs = 6

model = dict(
    backbone=dict(
        arch='[[0],[3,3],[3,3],[3,3,3],[3,3],[3,3],[0]]',  # wide kernels, many layers
        space=dict(width_mult=0.5, stem_stride=1),
    ),
)
train_cfg = dict(max_epochs=max_epochs, val_interval=3)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min=1e-5, begin=1, end=max_epochs,
         convert_to_iter_based=True),
]  # fmt: skip
