# The demo's block-wise search (DNA): no labels, real handwritten digits, 28 x 28 pixels, a few
# minutes on two CPU cores. Its teacher is trained first:
#
#   python tools/prepare_digits.py
#   python tools/train.py configs/demo/dna_teacher_digits.py --work-dir work_dirs/demo/dna_teacher
#   python tools/train.py configs/demo/dna_digits.py --work-dir work_dirs/demo/dna
#
# The same classes and loops as configs/dna/search_lite.py, only smaller.
_base_ = '../dna/search_lite.py'

data_root = 'data/digits'
teacher_weights = 'work_dirs/demo/dna_teacher/epoch_6.pth'
input_size = 28
num_classes = 10  # of the network that is trained in the end; the search reads no labels
budget = dict(macs_m=(2.3, 3.2))  # millions of multiply-adds at 28 x 28
batch_size = 64
max_epochs = 12
num_workers = 0  # two cores are better spent on the network than on 28-pixel images

model = dict(
    teacher=dict(
        backbone=dict(
            _delete_=True,
            type='cream_mm.CreamNet',
            arch='[[0],[3,3],[3,3],[3,3,3],[3,3],[3,3],[0]]',
            space=dict(width_mult=0.5, stem_stride=1),
            init_cfg=dict(type='Pretrained', checkpoint=teacher_weights, prefix='backbone.'),
        ),
    ),
    backbone=dict(
        # Cream's skeleton and choices, half as wide, with a stem without stride: five blocks.
        space=dict(
            _delete_=True,
            cells=[[(1, 24)], [(1, 40), (2, 40)], [(2, 80), (2, 64)], [(1, 96)], [(1, 192)]],
            width_mult=0.5,
            stem_stride=1,
        ),
        costs=dict(input_size=input_size, num_classes=num_classes, head_channels=256),
        budget=budget,
    ),
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3),
)
train_pipeline = [dict(type='cream_mm.LoadImage'), dict(type='PackInputs')]
test_pipeline = [dict(type='cream_mm.LoadImageFromFile'), dict(type='PackInputs')]
train_set = dict(data_root=data_root, pipeline=train_pipeline)
held_out_set = dict(data_root=data_root, pipeline=test_pipeline)
train_dataloader = dict(
    batch_size=batch_size, num_workers=num_workers, persistent_workers=False, dataset=train_set
)
test_dataloader = dict(batch_size=batch_size, num_workers=num_workers, dataset=held_out_set)
train_cfg = dict(max_epochs=max_epochs)
test_cfg = dict(
    bn_dataset=dict(data_root=data_root, pipeline=test_pipeline),
    next_steps=dict(
        retrain='configs/demo/retrain_digits.py', detector='configs/demo/retinanet_digits.py'
    ),
)
optim_wrapper = dict(
    paramwise_cfg=dict(  # of five blocks
        rates={
            '_delete_': True,
            'backbone.': 0.4,
            'backbone.blocks.': 1.0,
            'backbone.blocks.0.': 0.4,
            'backbone.blocks.4.': 0.4,
        }
    )
)
param_scheduler = [dict(type='ExponentialLR', gamma=0.85)]
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=4))
env_cfg = dict(num_threads=1)  # as in search_digits.py
