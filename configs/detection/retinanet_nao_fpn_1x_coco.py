# RetinaNet with a network of NAO's cells on COCO, 1x schedule, 8 GPUs x 2 images.
#
#   torchrun --nproc_per_node=8 tools/train.py \
#       configs/detection/retinanet_nao_fpn_1x_coco.py --launcher pytorch --cfg-options \
#       model.backbone.init_cfg.type=Pretrained model.backbone.init_cfg.prefix=backbone. \
#       model.backbone.init_cfg.checkpoint=retrained.pth
#
# NAO's networks are for images of 32 pixels: a stem of stride 4 (a convolution and a max pool) in
# place of theirs has the same weights, and the maps of the three stages strides 4, 8 and 16. The
# pyramid begins at the map of stride 8, as in RetinaNet. The scale is that of a search, 3 normal
# cells in each stage and 20 channels; for another network and scale tools/export_arch.py writes a
# config that fills all of this in: --space num_cells=6 channels=36. Not trained on COCO here.
_base_ = '../retinanet_cream.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='cream_mm.NAONet',
        # NAONet-V2. As published, an exported .json, or a nested list.
        arch='1 1 0 1 2 4 0 0 0 0 2 1 0 0 0 2 0 3 0 0 | 0 2 0 2 2 2 1 0 0 0 0 1 0 0 0 3 0 0 0 1',
        space=dict(stem_stride=4),
        out_indices=(0, 1, 2),  # strides 4, 8, 16
    ),
    neck=dict(in_channels=[80, 160, 320]),
)
