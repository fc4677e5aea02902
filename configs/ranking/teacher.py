# The costliest network of NAS-Bench-Macro, trained alone as the supernets of this folder are: the
# teacher of dna.py.
#
#   python tools/train.py configs/ranking/teacher.py --work-dir work_dirs/ranking/teacher
#
# Its test accuracy is printed behind the last epoch. benchmarks/ranking/dna.py trains one a seed.
_base_ = './spos.py'

model = dict(
    _delete_=True,
    type='ImageClassifier',
    backbone=dict(type='cream_mm.CreamNet', arch='22222222', space='nas_bench_macro'),
    head=dict(
        type='cream_mm.CreamClsHead',
        num_classes=10,
        in_channels=1280,
        hidden_channels=None,
        init_cfg=dict(type='Normal', layer='Linear', std=0.01),
        loss=dict(type='CrossEntropyLoss'),
    ),
    data_preprocessor=dict(
        num_classes=10, mean=[125.3, 123.0, 113.9], std=[63.0, 62.1, 66.7], to_rgb=True
    ),
)
train_cfg = dict(_delete_=True, by_epoch=True, max_epochs=7, val_interval=7)
val_dataloader = dict(
    _delete_=True,
    batch_size=256,
    num_workers=0,
    dataset=dict(
        type='cream_mm.ImageFolder',
        data_root='data/cifar10_16',
        folder='test',
        pipeline=[dict(type='cream_mm.LoadImageFromFile'), dict(type='PackInputs')],
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
val_cfg = dict(_delete_=True)
val_evaluator = dict(_delete_=True, type='Accuracy', topk=(1,))
test_dataloader = None
test_cfg = None
test_evaluator = None
default_hooks = {k: v for k, v in _base_.default_hooks.items() if k != 'path_log'}
default_hooks.update(_delete_=True)
model_wrapper_cfg = None
