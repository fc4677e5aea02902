import json

import pytest
from made_latency import made_rows, made_table

from cream_mm.costs import build_cost_model
from cream_mm.files.latency_file import read_latency
from cream_mm.spaces import build_space
from cream_mm.testing import tiny_space

MACHINE = dict(processor='AMD EPYC', cores=2, threads=1, device='cpu', backend='onnxruntime',
               dtype='float32', versions=dict(onnxruntime='1.2'), system='Linux')  # fmt: skip
ROW = dict(op='mbconv', kernel=3, expand=6, in_channels=16, out_channels=24, stride=2, in_size=112,
           latency=0.41)  # fmt: skip
SE = dict(ROW, in_size=[56, 28], se=True, latency=0.52)


def networks(**changes):
    """A file of networks as tools/latency.py writes it."""
    space = tiny_space()
    table = dict(input_size=[8, 8], batch=1, head='classifier', num_classes=3, head_channels=16,
                 **made_table(space), error_ms=None, check=dict(networks=30, mean_error_pct=3.1,
                 tau=0.97, tau_ci=[0.9, 0.99]))  # fmt: skip
    content = dict(format='cream_mm.latency/1', unit='ms', space=space.to_dict(), machine=MACHINE,
                   tables=[table, dict(table, input_size=[16, 12], head=None)])  # fmt: skip
    return content | changes


def layers(rows=(ROW, SE), **changes):
    content = dict(format='cream_mm.latency_rows/1', unit='ms', batch=1, rows=list(rows))
    return content | changes


def write(tmp_path, content, name='t.json'):
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_networks(tmp_path):
    file = read_latency(write(tmp_path, networks()))
    assert file.space == tiny_space() and file.machine == MACHINE
    first, second = file.tables
    assert first.for_costs() == made_table(tiny_space())
    assert (first.input_size, first.head, first.num_classes) == ((8, 8), 'classifier', 3)
    assert (second.input_size, second.head, second.num_classes) == ((16, 12), None, None)
    assert first.check == dict(networks=30, mean_error_pct=3.1, tau=0.97)
    assert first.dtype == 'float32' and first.batch == 1


@pytest.mark.parametrize(('unit', 'factor'), [('ms', 1), ('us', 1e-3), ('s', 1e3)])
def test_units(tmp_path, unit, factor):
    content = networks(unit=unit)
    table = read_latency(write(tmp_path, content)).tables[0]
    plain = made_table(tiny_space())
    assert table.fixed_ms == pytest.approx(factor * plain['fixed_ms'])
    assert table.choices_ms[1][1] == pytest.approx([factor * t for t in plain['choices_ms'][1][1]])
    (table,) = read_latency(write(tmp_path, layers(unit=unit))).tables
    assert [row['latency_ms'] for row in table.rows] == pytest.approx(
        [0.41 * factor, 0.52 * factor]
    )
    text = f'op,in_channels,in_size,latency_{unit}\npool,320,7,2.5\n'
    (table,) = read_latency(write(tmp_path, text, 't.csv')).tables
    assert table.rows[0]['latency_ms'] == pytest.approx(2.5 * factor)


def test_layers(tmp_path):
    file = read_latency(write(tmp_path, layers(machine=dict(processor='Pixel 9'), dtype='int8')))
    assert file.space is None and file.machine == dict(processor='Pixel 9')
    (table,) = file.tables
    assert (table.input_size, table.batch, table.dtype) == (None, 1, 'int8')
    assert table.rows == [
        dict(op='mbconv', kernel=3, expand=6, in_channels=16, out_channels=24, stride=2,
             in_size=[112, 112], latency_ms=0.41),
        dict(op='mbconv', kernel=3, expand=6, in_channels=16, out_channels=24, stride=2,
             in_size=[56, 28], se=True, latency_ms=0.52),
    ]  # fmt: skip


CSV = """\
op{0}kernel{0}expand{0}in_channels{0}out_channels{0}stride{0}in_size{0}se{0}latency_ms{0}batch
mbconv{0}3{0}6{0}16{0}24{0}2{0}112{0}{0}0.41{0}1

mbconv{0}3{0}6{0}16{0}24{0}2{0}56x28{0}true{0}0.52{0}1
"""


@pytest.mark.parametrize('mark', [',', ';', '\t'])
@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16'])
def test_csv_is_read_as_json_is(tmp_path, mark, encoding):
    path = tmp_path / 't.csv'
    path.write_bytes(CSV.format(mark).replace('\n', '\r\n').encode(encoding))
    (table,) = read_latency(path).tables
    (same,) = read_latency(write(tmp_path, layers())).tables
    assert table == same._replace(dtype=None)


def test_a_table_of_blocks_has_rows(tmp_path):
    cells = [[(1, 24), (2, 32)], [(1, 40), (2, 48)]]
    space = build_space(dict(type='BlockSpace', preset='dna', strides=(2, 2), cells=cells))
    rows = made_rows(space, 32, 10)
    content = networks(space=space.to_dict())
    content['tables'] = [dict(input_size=[32, 32], num_classes=10, rows=rows)]
    file = read_latency(write(tmp_path, content))
    assert file.space == space and len(file.tables[0].rows) == len(rows)
    costs = build_cost_model(space, 32, 10, latency=file.tables[0].for_costs())
    assert costs.extremes()[0]['latency_ms'] > 0
    content['tables'][0]['rows'] = rows[1:]
    with pytest.raises(
        ValueError, match=r't.json: tables\[0\]: .*no row for 1 layer that .*\n +stem'
    ):
        read_latency(write(tmp_path, content))


def test_a_unit_that_the_file_does_not_tell(tmp_path):
    path = write(tmp_path, layers(unit=None))
    with pytest.raises(ValueError, match='does not tell its unit: .* or give latency=dict.file'):
        read_latency(path)
    content = layers()
    del content['unit']
    path = write(tmp_path, content)
    assert read_latency(path, 'us').tables[0].rows[0]['latency_ms'] == pytest.approx(0.41e-3)
    with pytest.raises(ValueError, match="unit 'minutes' is none of ms, us, s"):
        read_latency(write(tmp_path, layers(unit='minutes')))
    with pytest.raises(ValueError, match="t.csv, line 1: unit 'ns' is none of"):
        read_latency(write(tmp_path, 'op,in_size,latency_ns\n', 't.csv'))
    with pytest.raises(ValueError, match='line 1 does not tell its unit'):
        read_latency(write(tmp_path, 'op,in_size,latency\n', 't.csv'))


def test_a_unit_that_contradicts_the_file(tmp_path):
    for path in (write(tmp_path, layers()), write(tmp_path, networks(), 'n.json'),
                 write(tmp_path, 'op,in_size,latency_ms\n', 't.csv')):  # fmt: skip
        with pytest.raises(ValueError, match="the unit is 'ms', not 's' as given"):
            read_latency(path, 's')


def test_each_row_says_what_all_are_of(tmp_path):
    rows = [dict(row, unit='us', dtype='int8', batch=64) for row in (ROW, SE)]
    content = dict(format='cream_mm.latency_rows/1', rows=rows)
    (table,) = read_latency(write(tmp_path, content)).tables
    assert (table.dtype, table.batch) == ('int8', 64)
    assert [row['latency_ms'] for row in table.rows] == pytest.approx([0.41e-3, 0.52e-3])
    row = {key: value for key, value in ROW.items() if key != 'latency'}
    (table,) = read_latency(write(tmp_path, layers(rows=[dict(row, latency_us=410)]))).tables
    assert table.rows[0]['latency_ms'] == pytest.approx(0.41)


def test_a_check_that_compares_nothing(tmp_path):
    content = networks()
    content['tables'][0]['check'] = dict(networks=0, mean_error_pct=None, tau=None)
    assert read_latency(write(tmp_path, content)).tables[0].check is None


def test_csv_with_whole_numbers_as_pandas_writes_them(tmp_path):
    text = (
        'op,kernel,expand,in_channels,out_channels,stride,in_size,batch,latency_ms\n'
        'mbconv,3.0,6.0,16.0,24.0,2.0,112.0,1.0,0.41\n'
        'linear,,,16.0,10.0,,,1.0,0.01\n'
    )
    (table,) = read_latency(write(tmp_path, text, 't.csv')).tables
    assert table.batch == 1
    assert table.rows[0]['in_size'] == [112, 112] and table.rows[0]['kernel'] == 3
    assert 'in_size' not in table.rows[1]


def damaged():
    table = networks()['tables'][0]
    shape = made_table(tiny_space())['choices_ms']
    changed = json.loads(json.dumps(shape))
    changed[1][0][1] = -0.1
    row = r'rows\[1\]'
    return [
        (dict(format='latency'), "has format 'latency'; a latency table has"),
        (networks(tables=[]), 'has no "tables"'),
        (networks(tables=[dict(table, input_size=8)]), r'tables\[0\]: "input_size" is 8'),
        (networks(tables=[dict(table, batch=0)]), r'tables\[0\]: "batch" is 0'),
        (networks(tables=[table, dict(table, choices_ms=changed)]),
         r'tables\[1\]: latency.choices_ms\[1\]\[0\]\[1\] is -0.1, not milliseconds'),
        (networks(tables=[dict(table, choices_ms=shape[:1])]), 'choices_ms needs 2 stages; got 1'),
        (networks(tables=[dict(table, fixed_ms='1')]), "fixed_ms is '1', not milliseconds"),
        (networks(tables=[{k: v for k, v in table.items() if k != 'fixed_ms'}]), 'no "fixed_ms"'),
        (networks(space=dict(type='os.system')), 'space.type'),
        (networks(machine='mine'), '"machine" is .mine., not an object'),
        (layers(rows=[]), 'rows is no list of rows'),
        (layers(rows=[ROW, dict(ROW, latency=-1)]), f'{row}: the latency is -1, no time'),
        (layers(rows=[ROW, dict(ROW, latency='0.4')]), f"{row}: the latency is '0.4', no time"),
        (layers(rows=[ROW, dict(kernel=3)]), f'{row} has no "op"'),
        (layers(rows=[ROW, dict(ROW, kernel=2.5)]), f'{row}.kernel is 2.5, no number'),
        (layers(rows=[ROW, dict(ROW, in_size=[1, 2, 3])]), f'{row}.in_size is'),
        (layers(rows=[ROW, {k: v for k, v in ROW.items() if k != 'stride'}]),
         r'row 2 \(mbconv\) has no stride'),
        (layers(rows=[ROW, dict(ROW, batch=8)]), 'batch is 1, and of some rows 8; a table is of'),
        (layers(rows=[ROW, dict(ROW, batch=[8])]), r'batch is 1, and of some rows \[8\];'),
        (layers(rows=[ROW, dict(ROW, unit='us')]), 'unit is ms, and of some rows us;'),
        (layers(rows=[dict(ROW, dtype='int8'), dict(SE, dtype='float32')]),
         'dtype is int8, and of some rows float32;'),
        (layers(rows=[ROW, dict(ROW, latency_us=3)]), f'{row} has both "latency" and "latency_us"'),
        (layers(rows=[ROW, dict(ROW, se='no')]), f"{row}.se is 'no', no flag"),
        (layers(dtype=['float32']), '"dtype" is .*, not a name'),
        (networks(tables=[dict(table, num_classes='3')]), '"num_classes" is .3., not a number'),
        (networks(tables=[dict(table, fixed_ms=1e12)]), 'fixed_ms is 1000000000000.0, not millis'),
        (layers(batch='one'), '"batch" is .one.'),
        ('{"format": "cream_mm.latency_rows/1", "unit": "ms", "rows": [{"latency": NaN}]}',
         'NaN is no number'),
    ]  # fmt: skip


@pytest.mark.parametrize(('content', 'message'), damaged())
def test_damaged_files(tmp_path, content, message):
    path = write(tmp_path, content)
    with pytest.raises(ValueError, match=message) as error:
        read_latency(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('a,b\n1,2\n', 't.csv, line 1: a table of layers has a column "op"'),
        ('op,latency_ms\n', 'has no rows below its header'),
        ('op,in_channels,in_size,latency_ms\npool,8,7,0.1\npool,x,7,0.1\n',
         't.csv, line 3: in_channels is x, no number'),
        ('op,in_channels,in_size,latency_ms\npool,8,7,0.1\npool,,7,0.1\n',
         r't.csv, line 3 \(pool\) has no in_channels'),
        ('op,in_channels,in_size,latency_ms\npool,8,7\n', 't.csv, line 2: the latency is None'),
        ('op,in_channels,in_size,latency_ms,batch\npool,8,7,1,1\npool,9,7,1,8\n',
         't.csv, line 3: batch is 8, in lines before 1'),
        ('op,in_channels,in_size,latency_ms\npool,8,7,1,1\n', 'line 2: 5 fields, the header has 4'),
    ],
)  # fmt: skip
def test_damaged_csv(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_latency(write(tmp_path, text, 't.csv'))


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match='tools/latency.py build CONFIG --out'):
        read_latency(tmp_path / 'none.json')
