"""``part_costs.json``: what the parts of a detector cost, as its training counted them."""

PARTS_FILE, PARTS_FORMAT = 'part_costs.json', 'cream_mm.part_costs/1'
