"""``errors.json``: what a classifier took for what, of the images that it was measured on."""

ERRORS_FILE, ERRORS_FORMAT = 'errors.json', 'cream_mm.errors/1'
