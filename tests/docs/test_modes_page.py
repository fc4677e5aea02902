import re
from pathlib import Path

from cream_mm.methods.cream.compat import Compat

PAGE = Path(__file__).resolve().parents[2] / 'docs' / 'cream.md'


def test_the_table_of_modes_is_the_code():
    table = {}
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip().strip('`') for cell in line.strip('|').split('|')]
        if re.match(r'\| `[a-z_]+` \|', line) and len(cells) == 5:
            table[cells[0]] = cells[1:4]
    for column, mode in enumerate(('official', 'paper', 'fixed')):
        options = Compat.build(mode).to_dict()
        options.pop('mode')
        assert {name: row[column] for name, row in table.items()} == options
