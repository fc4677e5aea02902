# RetinaNet with a network of NAS-Bench-201's cells on COCO, 1x schedule, 8 GPUs x 2 images.
#
#   torchrun --nproc_per_node=8 tools/train.py \
#       configs/detection/retinanet_nb201_fpn_1x_coco.py --launcher pytorch --cfg-options \
#       model.backbone.init_cfg.type=Pretrained model.backbone.init_cfg.prefix=backbone. \
#       model.backbone.init_cfg.checkpoint=retrained.pth
#
# The benchmark's networks are for images of 32 pixels: a stem of stride 4 (a convolution and a max
# pool) in place of theirs has the same weights, and the maps of the three stages strides 4, 8 and
# 16. The pyramid begins at the map of stride 8, as RetinaNet's does. For a searched backbone,
# tools/export_arch.py writes a config that fills all of this in. Not trained on COCO here.
_base_ = '../retinanet_cream.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='cream_mm.NASBench201Net',
        # As the benchmark writes it, an exported .json, or a nested list.
        arch='|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|'
        '+|skip_connect~0|nor_conv_1x1~1|nor_conv_3x3~2|',
        space=dict(stem_stride=4),
        out_indices=(0, 1, 2),  # strides 4, 8, 16
    ),
    neck=dict(in_channels=[16, 32, 64]),
)
