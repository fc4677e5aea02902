# Retrain dna-d by the released recipe.
#
#   python tools/train.py configs/dna/retrain_dna-d.py --cfg-options data_root=FOLDER
#
# Published top-1: 78.4 %; a user of the released code reports 77.72 (changlin31/DNA, issue 26). Not
# run here.
_base_ = './retrain_imagenet.py'

model = dict(backbone=dict(arch='dna-d'))
