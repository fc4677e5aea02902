# CLOSE's curriculum in Cream's space of MBConv blocks: the layers of a stage, all but the first,
# share one bank of weights, then two, then each has its own. An adaptation: the paper did this in
# the ResNet spaces of NDS. Else it is configs/spos/search_imagenet.py: plain single paths.
#
#   python tools/train.py configs/close/search_mbconv.py --cfg-options data_root=FOLDER \
#       input_size=64 budget.macs_m=[20,40] batch_size=64 max_epochs=60
#
# FOLDER holds train/<class>/*.jpg and val/<class>/*.jpg; any number of classes. Photographs of 64
# pixels are for two CPU cores. Not run on ImageNet here.
_base_ = '../spos/search_imagenet.py'

model = dict(
    backbone=dict(
        type='cream_mm.SharedStageSupernet',
        # num_banks is the last of the curriculum's numbers; a stage of four layers can have 3.
        router=dict(type='cream_mm.SplitTableRouter', num_banks=3, rule='pre'),
    ),
)
custom_hooks = [
    # Shares of the run. Without the published restart: the learning rate goes to 0 once.
    # Norms scale here: added up, as published, a new bank's branch would be twice as strong.
    dict(
        type='cream_mm.CurriculumHook',
        schedule=(0, 0.34, 0.67),
        restart_at=(),
        inherit_norms='copy',
    ),
]
