# CLOSE on the reduced cells of nb201.py: a gate maps the edges of a cell to at most three banks of
# weights, of which one, then two, then three are in use, for a third of the training each.
#
#   python tools/train.py configs/ranking/close.py --work-dir work_dirs/ranking/close
#
# With seeds, records and equal seconds: benchmarks/ranking/close.py; docs/results/close.md.
_base_ = './nb201.py'

model = dict(backbone=dict(router=dict(type='cream_mm.GATESRouter', num_banks=3)))
# No restart: it gives back a learning rate that a plateau took away, and here there is a cosine.
custom_hooks = [dict(type='cream_mm.CurriculumHook', schedule=(0, 1 / 3, 2 / 3), restart_at=())]
