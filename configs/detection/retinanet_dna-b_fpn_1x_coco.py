# RetinaNet with dna-b on COCO, 1x schedule, 8 GPUs x 2 images.
#
#   torchrun --nproc_per_node=8 tools/train.py \
#       configs/detection/retinanet_dna-b_fpn_1x_coco.py --launcher pytorch --cfg-options \
#       model.backbone.init_cfg.type=Pretrained model.backbone.init_cfg.prefix=backbone. \
#       model.backbone.init_cfg.checkpoint=retrained.pth
#
# DNA has published no detector. The checkpoint is one of configs/dna/retrain_dna-b.py. Not trained
# on COCO here.
_base_ = '../retinanet_cream.py'

find_unused_parameters = True  # the backbone's last conv1x1 is the classifier's and not run
model = dict(
    backbone=dict(arch='dna-b'),  # its last map, of 320 channels, is before the conv1x1
    neck=dict(in_channels=[24, 40, 96, 320]),
)
