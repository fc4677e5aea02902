# RetinaNet with cream-604m (Cream-L) on COCO, 1x schedule, 8 GPUs x 2 images.
#
#   torchrun --nproc_per_node=8 tools/train.py \
#       configs/detection/retinanet_cream-604m_fpn_1x_coco.py --launcher pytorch --cfg-options \
#       model.backbone.init_cfg.type=Pretrained model.backbone.init_cfg.prefix=backbone. \
#       model.backbone.init_cfg.checkpoint=cream-604m.pth
#
# No published result of this detector is known, and none was measured here.
_base_ = '../retinanet_cream.py'

model = dict(backbone=dict(arch='cream-604m'))
