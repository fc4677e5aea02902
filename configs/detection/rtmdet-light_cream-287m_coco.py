# RTMDet with a light neck and head around cream-287m: images of 320 x 320, for CPUs and phones.
#
#   python tools/train.py configs/detection/rtmdet-light_cream-287m_coco.py --cfg-options \
#       data_root=FOLDER batch_size=16 max_epochs=100 model.backbone.init_cfg.type=Pretrained \
#       model.backbone.init_cfg.prefix=backbone. model.backbone.init_cfg.checkpoint=retrained.pth
#
# At 320 x 320 the backbone has 558 M multiply-adds, neck and head together 177 M: a cheaper
# backbone is a cheaper detector. RetinaNet's neck and head have 15,083 M there, those of the
# RTMDet that this one is made from 1,529 M (tools/get_flops.py CONFIG --shape 320). Depthwise
# convolutions and 96 channels in place of 128 make the difference; data, losses and schedule are
# those of rtmdet_cream-287m_8xb32-300e_coco.py. No published result is known, and none was
# measured here.
_base_ = './rtmdet_cream-287m_8xb32-300e_coco.py'
from cream_mm.config import set_values

set_values(_base_, scale=(320, 320))  # sides of the images, in pixels; multiples of 32

model = dict(
    neck=dict(out_channels=96, use_depthwise=True),
    bbox_head=dict(
        in_channels=96,
        feat_channels=96,
        use_depthwise=True,
        share_conv=False,  # mmdet's head cannot share depthwise layers between strides
    ),
)
