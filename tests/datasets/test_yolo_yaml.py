"""What a YOLO set says of itself."""

import pytest

from cream_mm.datasets.yolo_yaml import read_darknet, read_yolo_yaml


@pytest.fixture
def read(tmp_path):
    def read(text):
        path = tmp_path / 'data.yaml'
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_yolo_yaml(path)

    return read


def refusal(read, text):
    with pytest.raises(ValueError, match='data.yaml') as caught:
        read(text)
    return str(caught.value)


# ---- D16: names ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    'text',
    [
        'names: [ant, bee]\n',
        'names:\n- ant\n- bee\nnc: 2\n',
        'names:\n  0: ant\n  1: bee\n',
        'names:\n  1: bee\n  0: ant\n',
        'names: {"0": ant, "1": bee}\nnc: "2"\n',
        'nc:\nnames: ["ant", \'bee\']\n',
        '\ufeffnames: [ant, bee]  # of mine\r\n',
        '&n names: [&a ant, bee]\nother: [*a]\n',
    ],
)
def test_names_as_a_list_or_by_number(read, text):
    index = read(text)
    assert index.names == ['ant', 'bee']
    assert not index.notes


def test_more_than_ten_are_in_order_of_their_numbers(read):
    names = {n: f'c{n}' for n in range(12)}
    rows = ''.join(f'  {n}: {names[n]}\n' for n in sorted(names, key=str))
    assert read(f'names:\n{rows}').names == list(names.values())


@pytest.mark.parametrize(
    ('text', 'why'),
    [
        ('names: {0: a, 1: b, 3: d}', 'has the classes 0, 1, 3, but not 2'),
        ('names: {1: a, 2: b}', 'but not 0: classes count from 0. Number them 0 to 1'),
        ('names: {0: a, 999999999: b}', 'but not 1'),
        ('names: {0: a, 0: b}', 'line 1: the class 0 stands twice'),
        ('names: {a: 0, b: 1}', "'a' is no number of a class"),
        ('names: {-1: a, 0: b}', "'-1' is no number of a class"),
        ('names: [a, b]\nnc: 3', 'nc is 3, but names has 2: a, b'),
        ('names: [a, b]\nnc: two', 'line 2: nc is not the number of classes'),
        ('names: []', 'has no class name'),
        ('names: [a, b, a]', "the class 'a' stands twice, as 0 and 2"),
        ('names: a, b', "line 1: names is one text, 'a, b'. Write a list"),
        ("names: \"['a', 'b']\"", 'names is one text'),
        ('names: [[a], [b]]', 'no text but a list'),
        ('names: &a [*a]', 'no text but a list'),
        ('nc: 1\nnames: [a]\nnames: [b]', "line 3: the key 'names' stands twice"),
    ],
)
def test_names_that_are_not_clear(read, text, why):
    assert why in refusal(read, text)


@pytest.mark.parametrize(
    ('name', 'kind'),
    [
        ('no', 'true or false'),
        ('on', 'true or false'),
        ('1', 'a number'),
        ('1e3', None),  # text, in YAML 1.1
        ('1.5', 'a number'),
        ('~', 'nothing'),
        ('2020-01-01', 'a timestamp'),
    ],
)
def test_names_that_yaml_takes_for_something_else(read, name, kind):
    if kind is None:
        assert read(f'names: [{name}]').names == [name]
    else:
        message = refusal(read, f'names:\n  0: yes sir\n  1: {name}\n')
        assert f'data.yaml, line 3: YAML reads the class name {name} as {kind}' in message
        assert f"Put it in quotes: '{name}'" in message
    assert read(f"names: ['{name}', a]").names == [name, 'a']


def test_one_text_is_one_class_or_a_file(read, tmp_path):
    index = read('names: traffic light\nnc: 1\n')
    assert index.names == ['traffic light']
    assert 'taken as the only class' in index.notes[0]
    (tmp_path / 'obj.names').write_text('ant\nbee\n')
    assert read('names: obj.names\nnc: 2\n').names == ['ant', 'bee']


@pytest.mark.parametrize(
    ('text', 'why'),
    [
        ('names: [a\ntrain: x', 'line 2: not valid YAML'),
        ('names:\n\t- a', 'line 2: not valid YAML'),
        ('- a\n- b', 'its top level is no list of "key: value"'),
        ('', 'its top level'),
        ('[' * 5000, 'not valid YAML'),
        (b'names: [a]\n# caf\xe9\n', 'line 2: not UTF-8 text'),
    ],
)
def test_what_is_no_yaml(read, text, why):
    assert why in refusal(read, text)


def test_nothing_in_it_runs(read, tmp_path):
    flag = tmp_path / 'flag'
    text = f'names: [a]\nx: !!python/object/apply:os.mkdir ["{flag}"]\n'
    assert read(text).names == ['a']
    assert not flag.exists()
    nested = ''.join(f'x{n}: &x{n} [{", ".join([f"*x{n - 1}"] * 9)}]\n' for n in range(1, 30))
    assert read(f'x0: &x0 [a]\n{nested}names: [a]\n').names == ['a']  # 9 ** 29 of them, if opened


# ---- places --------------------------------------------------------------------------------------


def test_places(read):
    index = read('path: ../set\ntrain: [a, b]\nvalid: c\ntest:\nnames: [x]\n')
    assert (index.base, index.places) == ('../set', dict(train=['a', 'b'], val=['c']))
    index = read('path: 2024\ntrain: 1\nval: 2\nvalidation: 3\ntest: 4\n')  # as text
    assert (index.base, index.places) == ('2024', dict(train=['1'], val=['2'], test=['4']))
    assert read('names: [x]\ntrain: []\n').places == {}


def test_quotes_and_blanks_in_a_path(read):
    index = read('train: "\'../train/images\' "\nval: "a b/c "\ntest: D:\\x\\y\n')
    assert index.places == dict(train=['../train/images'], val=['a b/c'], test=['D:/x/y'])
    assert len(index.notes) == 1
    assert 'has quotes in it' in index.notes[0]
    assert 'line 2: expected the path' in refusal(read, 'names: [a]\ntrain: {a: b}\n')


def test_key_points(read):
    assert read('kpt_shape: [17, 3]\n').keypoints == (17, 3)
    assert read('names: [a]\n').keypoints is None
    assert 'kpt_shape is not' in refusal(read, 'kpt_shape: 17\n')


# ---- darknet -------------------------------------------------------------------------------------


def test_obj_data(tmp_path):
    (tmp_path / 'obj.names').write_text('ant\nbee\n')
    path = tmp_path / 'obj.data'
    path.write_text(
        '# of CVAT\nclasses = 2\ntrain=data/train.txt\nvalid = data/valid.txt\r\n'
        'names = data/obj.names\nbackup = backup/\n'
    )
    index = read_darknet(path)
    assert index.names == ['ant', 'bee']
    assert index.places == dict(train=['data/train.txt'], val=['data/valid.txt'])
    path.write_text('classes = 3\nnames = obj.names\n')
    with pytest.raises(ValueError, match='classes = 3, but .*obj.names has 2 names: ant, bee'):
        read_darknet(path)
    path.write_text('classes = 3\nnames\n')
    with pytest.raises(ValueError, match='line 2: .names. is not "key = value"'):
        read_darknet(path)
