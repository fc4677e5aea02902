import json
from pathlib import Path

import numpy as np
import pytest

from cream_mm.costs import build_cost_model
from cream_mm.evaluation import AccuracyTable, correlation
from cream_mm.spaces import NAOSpace, NASBench201Space
from cream_mm.structures import Arch
from cream_mm.testing import tiny_space

COSTS = build_cost_model(tiny_space(), 8, 3, 16)
ARCH = Arch(((0, 1), (1, 0)))
COUNTED = COSTS.cost(ARCH).in_units()


def table(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    return AccuracyTable(path, COSTS)


@pytest.mark.parametrize(
    'value', ['[[0],[0,1],[1,0],[0]]', [[0], [0, 1], [1, 0], [0]], '[0, 1, 1, 0]', '0110']
)
def test_an_arch_in_every_notation(value):
    assert tiny_space().parse(value) == ARCH


@pytest.mark.parametrize(
    ('value', 'words'),
    [
        ('abc', "not an architecture: 'abc'"),
        ('7', 'not|digits|layers'),
        ('[0, 1]', '2 choices; .* has 4 layers'),
        ('[[0],[0,2],[1,0],[0]]', 'choice 2 in stage 1'),
        ({}, 'not an architecture'),
    ],
)
def test_what_is_no_arch(value, words):
    with pytest.raises(ValueError, match=words):
        tiny_space().parse(value)


def test_csv_with_and_without_costs(tmp_path):
    content = table(tmp_path, 'a.csv', 'arch,accuracy\n"[0,1,1,0]",91.5\n0000,80\n')
    assert content.notes == []
    assert content.rows[0] == (ARCH, 91.5, COUNTED['macs_m'], COUNTED['params_m'])
    assert [row.accuracy for row in content.rows] == [91.5, 80.0]
    text = f'arch,top1_pct,macs_m,params_m\n0110,91.5,7.25,{COUNTED["params_m"]}\n'
    content = table(tmp_path, 'b.csv', text)
    assert content.rows[0].macs_m == 7.25
    assert '1 costs in the table' in content.notes[0] and 'macs_m 7.2500' in content.notes[0]


def test_nas_bench_macro_json(tmp_path):
    flops, params = COSTS.cost(ARCH).macs, COSTS.cost(ARCH).params
    entry = dict(test_acc=[89.0, 91.0], mean_acc=90.0, std=1.0, params=params, flops=flops)
    content = table(tmp_path, 'a.json', json.dumps({'0110': entry}))
    assert content.rows == [(ARCH, 90.0, flops / 1e6, params / 1e6)] and content.notes == []


def test_ratings_are_a_table_too(tmp_path):
    line = dict(key='k', arch=ARCH.to_list(), top1_pct=50.0, num_images=9)
    assert table(tmp_path, 'ratings.jsonl', json.dumps(line) + '\n').rows[0].accuracy == 50.0


def test_the_same_network_twice_is_averaged(tmp_path, monkeypatch):
    def sorted_stages(self, arch):
        return Arch(tuple(tuple(sorted(stage)) for stage in arch.stages), arch.space)

    monkeypatch.setattr(type(COSTS.space), 'canonical', sorted_stages)
    content = table(tmp_path, 'a.csv', 'arch,accuracy\n0110,90\n1001,92\n1111,50\n')
    assert [row.accuracy for row in content.rows] == [91.0, 50.0]
    assert '1 of 3 entries' in content.notes[0]


@pytest.mark.parametrize(
    ('name', 'text', 'words'),
    [
        ('a.csv', 'network,accuracy\n', 'line 1: the header is arch,accuracy'),
        ('a.csv', '', 'line 1: the header'),
        ('a.csv', 'arch,accuracy\n', 'holds no network'),
        ('a.csv', 'arch,accuracy\n0110,90\n0111\n', 'line 3: no accuracy'),
        ('a.csv', 'arch,accuracy\n0110,nan\n', 'line 2: accuracy is not a finite number'),
        ('a.csv', 'arch,accuracy\n0110,x\n', "line 2: accuracy is not a finite number: 'x'"),
        ('a.csv', 'arch,accuracy\n[0,1,1,0],90\n', 'line 2: more fields .* double quotes'),
        ('a.csv', 'arch,accuracy\n0190,90\n', 'line 2: choice 9'),
        ('a.json', '{', 'not valid JSON'),
        ('a.json', '[1]', 'is not a table'),
        ('a.json', '{"0110": {"flops": 1}}', 'entry 0110: no accuracy'),
        ('a.jsonl', '{"arch": "0110", "score": 1}\n[]\n', 'line 2: not a JSON object'),
        ('a.jsonl', '{"score": 1}\n', "line 1: no 'arch'"),
        ('a.csv', 'arch,accuracy\n0110,1e308\n', 'line 2: accuracy is not a finite number'),
        ('a.csv', 'arch,accuracy,accuracy\n0110,1,2\n', 'line 1: column accuracy stands twice'),
        ('a.csv', f'arch,accuracy\n"{"1" * 140_000}",1\n', 'a.csv, line 2: field larger than'),
        ('a.csv', f'arch,accuracy\n{"1" * 5000},1\n', 'line 2: .*has 5000 digits|line 2: .111'),
        ('a.csv', f'arch,accuracy\n"{"[" * 20_000}",1\n', 'line 2: .*a text of 20000 char'),
        ('a.csv', 'arch,accuracy,macs_m\n0110,1,-3\n', 'line 2: macs_m is -3, which no network'),
        ('a.json', '{"0110": {"mean_acc": 9}, "0110": {"mean_acc": 1}}', 'key "0110" stands twice'),
        ('a.json', '{"0110": {"mean_acc": true}}', 'entry 0110: accuracy is not|mean_acc is not'),
        ('a.json', '{"0110": {"mean_acc": ' + '9' * 400 + '}}', 'a number of 400 digits'),
        ('a.json', '{"0110": {"mean_acc": NaN}}', 'a.json is not valid JSON: NaN is no number'),
        ('a.jsonl', '{"arch": "0110", "score": 1}\n' + '[' * 10**5 + '\n', 'line 2: .* too deeply'),
        ('a.jsonl', '{"arch": 10, "score": 1}\n', 'a.jsonl, line 1: not an architecture: 10'),
        ('a.txt', '', r'one of \.json, \.csv, \.jsonl'),
    ],
)
def test_errors_say_where(tmp_path, name, text, words):
    with pytest.raises(ValueError, match=words):
        table(tmp_path, name, text)


def test_messages_stay_short(tmp_path):
    for text in (
        '9' * 9000,
        '[' + '0,' * 4000 + '0]',
        '[[0],' + '[1],' * 2000 + '[0]]',
        'x' * 10**5,
    ):
        with pytest.raises(ValueError, match='a.json, entry') as error:
            table(tmp_path, 'a.json', json.dumps({text: dict(score=1)}))
        assert len(str(error.value)) < len(str(tmp_path)) + 450


@pytest.mark.parametrize('encoding', ['utf-16', 'utf-8-sig'])
def test_a_table_of_a_spreadsheet(tmp_path, encoding):
    path = tmp_path / 'a.csv'
    path.write_bytes('arch,accuracy\r\n0110,91.5\r\n'.encode(encoding))
    assert [row[:2] for row in AccuracyTable(path, COSTS).rows] == [(ARCH, 91.5)]


def test_ratings_that_a_kill_cut(tmp_path):
    line = dict(key='k', arch=ARCH.to_list(), top1_pct=50.0, num_images=9)
    text = json.dumps(line)
    assert len(table(tmp_path, 'ratings.jsonl', f'{text}\n{text[:-9]}')) == 1


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match='no table'):
        AccuracyTable(tmp_path / 'none.csv', COSTS)


# ---- tables of NAS-Bench-201 -----------------------------------------------------------------

CELLS = NASBench201Space()
CELL_COSTS = build_cost_model(CELLS, 32, 10)
# As the tables are written. Nothing passes through the last two cells of the first one.
EPOCHS_200 = """\
arch,cifar10-val,cifar10-test,cifar100-val,cifar100-test,imagenet16-val,imagenet16-test,params_m
|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|,\
90.23,93.15,69.99,70.2,44.1,43.6,0.802
|skip_connect~0|+|none~0|nor_conv_1x1~1|+|none~0|none~1|none~2|,9.7,10.0,1.0,1.5,0.8,0.83,0.101
|none~0|+|none~0|none~1|+|none~0|nor_conv_3x3~1|none~2|,9.8,14.0,1.0,2.5,0.8,0.85,0.316
"""
EPOCHS_12 = """\
arch,cellstr,cifar10-test,cifar10-val
0,|none~0|+|none~0|none~1|+|none~0|nor_conv_3x3~1|none~2|,12.5,11
1,|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|\
,88.22,82.83399999389648
"""


def cell_table(tmp_path, text, column=None):
    path = tmp_path / 'nasbench201.csv'
    path.write_text(text)
    return AccuracyTable(path, CELL_COSTS, column)


def test_isomorphic_cells_are_one_row(tmp_path):
    best, empty = cell_table(tmp_path, EPOCHS_200, 'cifar100-test').rows
    assert best.accuracy == 70.2 and best.params_m == 0.802426  # 0.802 is the count, rounded
    # Nothing passes through the other two: the mean, and the costs of what stands for both.
    assert CELLS.format(empty.arch) == '|none~0|+|none~0|none~1|+|none~0|none~1|none~2|'
    assert empty.accuracy == 2.0 and empty.params_m == 0.073306
    assert empty.macs_m == CELL_COSTS.fixed.macs / 1e6


@pytest.mark.parametrize(
    ('column', 'first'), [('cifar10-test', 93.15), ('imagenet16-val', 44.1), ('params_m', 0.802)]
)
def test_a_column_by_its_name(tmp_path, column, first):
    assert cell_table(tmp_path, EPOCHS_200, column).rows[0].accuracy == first


def test_a_number_beside_the_cell_is_no_network(tmp_path):
    table = cell_table(tmp_path, EPOCHS_12, 'cifar10-val')
    assert [row.accuracy for row in table.rows] == [11.0, 82.83399999389648]
    assert table.rows[1].arch.to_list() == [[3], [3, 4], [1, 3, 1]] and table.notes == []


def test_which_column_is_asked_for(tmp_path):
    with pytest.raises(ValueError, match='line 1: which column .* one of cifar10-val, .*--column'):
        cell_table(tmp_path, EPOCHS_200)
    with pytest.raises(ValueError, match="line 1: no column 'cifar-10'; it has arch, cifar10-val"):
        cell_table(tmp_path, EPOCHS_200, 'cifar-10')
    with pytest.raises(ValueError, match='line 3: no cifar10-val'):
        cell_table(tmp_path, EPOCHS_12.replace(',82.83399999389648', ''), 'cifar10-val')
    # The usual names need none, nor does the only column that there is.
    assert table(tmp_path, 'a.csv', 'arch,epochs,accuracy\n0110,5,91\n').rows[0].accuracy == 91
    assert table(tmp_path, 'a.csv', 'arch,val\n0110,92\n').rows[0].accuracy == 92
    path = tmp_path / 'a.json'
    path.write_text('{"0110": {"accuracy": 1, "val": 93}}')
    assert AccuracyTable(path, COSTS, 'val').rows[0].accuracy == 93
    with pytest.raises(ValueError, match='entry 0110: no test'):
        AccuracyTable(path, COSTS, 'test')


def test_costs_of_other_networks_are_told(tmp_path):
    table = cell_table(tmp_path, EPOCHS_200.replace('0.802', '0.803'), 'cifar10-val')
    assert table.rows[0].params_m == 0.803
    assert '1 costs in the table' in table.notes[1] and 'line 2: params_m 0.8030' in table.notes[1]


TABLES = Path(__file__).parents[2] / 'data'


@pytest.mark.skipif(
    not (TABLES / 'nasbench201_200epoch.csv').is_file(), reason='no data/nasbench201_200epoch.csv'
)
def test_all_of_the_benchmark():
    path = Path(__file__).parents[1] / 'data/close/space.json'
    golden = json.loads(path.read_text())['gt_check']
    table = AccuracyTable(TABLES / 'nasbench201_200epoch.csv', CELL_COSTS, 'cifar10-test')
    assert len(table) == golden['n'] == 6466 and '9159 of 15625' in table.notes[0]
    truth = np.array([row.accuracy for row in table.rows])
    # This table has two decimals of a per cent.
    assert truth.min() / 100 == pytest.approx(golden['gt_min'], abs=5e-5)
    assert truth.max() / 100 == pytest.approx(golden['gt_max'], abs=5e-5)
    # Theirs are the parameters of another member of each class.
    found = correlation(np.array([row.params_m for row in table.rows]), truth)
    assert found['kendall'] == pytest.approx(golden['params_vs_gt']['kendall_tau'], abs=5e-4)
    assert found['spearman'] == pytest.approx(golden['params_vs_gt']['spearman'], abs=5e-4)


def test_two_cells_in_every_table(tmp_path):
    """As published in a table of a spreadsheet, by another order of the pairs, and in JSON."""
    text = '1 1 0 1 2 4 0 0 0 0 2 1 0 0 0 2 0 3 0 0 | ' + ' '.join(['0 2'] * 10)
    other = '0 1 1 1 2 4 0 0 0 0 2 1 0 0 0 2 0 3 0 0 ' + ' '.join(['0 2'] * 10)
    space = NAOSpace(channels=4)
    costs = build_cost_model(space, 32, 10)
    files = dict(
        csv=f'arch,accuracy\n{text},90\n{other},80\n"{space.parse(text)}",70\n',
        json=json.dumps({text: dict(mean_acc=90), other: dict(mean_acc=80),
                         text.replace(' ', ''): dict(mean_acc=70)}),
        jsonl=f'{{"arch": "{text}", "score": 90}}\n{{"arch": "{other}", "score": 80}}\n'
              f'{{"arch": {space.parse(text)}, "score": 70}}\n',
    )  # fmt: skip
    for suffix, content in files.items():
        (tmp_path / f'a.{suffix}').write_text(content)
        found = AccuracyTable(tmp_path / f'a.{suffix}', costs)
        assert [(row.arch, row.accuracy) for row in found.rows] == [(space.parse(text), 80.0)]
