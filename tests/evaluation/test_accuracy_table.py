import json

import pytest

from cream_mm.costs import build_cost_model
from cream_mm.evaluation import AccuracyTable
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
