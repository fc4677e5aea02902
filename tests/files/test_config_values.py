"""Values of a config's text, with nothing of it run."""

import pytest
from mmengine.config import Config

from cream_mm.files.config_values import read_value


def test_what_mmengine_leaves_in_a_work_directory(tmp_path):
    cfg = Config(
        dict(
            test_dataloader=dict(
                batch_size=1, share=-0.5, none=None, names=('a', "b's"), pad=(3,), empty={},
                dataset=dict(data_root='data/x/', pipeline=[dict(type='A', scale=(8, 8))]),
            ),
            lengths={'1': [True, 2e-5]},
        )
    )  # fmt: skip
    cfg.dump(str(tmp_path / 'a.py'))
    for name in ('test_dataloader', 'lengths'):
        assert read_value(tmp_path / 'a.py', name) == cfg._cfg_dict.to_dict()[name]


def test_the_last_assignment_counts(tmp_path):
    (tmp_path / 'a.py').write_text('x = 1\nx = y = dict(a=dict(b=[2]), **{})\nx = {"a": dict(b=3)}')
    assert read_value(tmp_path / 'a.py', 'x') == {'a': {'b': 3}}
    with pytest.raises(ValueError, match='has no z'):
        read_value(tmp_path / 'a.py', 'z')
    with pytest.raises(ValueError, match='line 2 unpacks'):
        read_value(tmp_path / 'a.py', 'y')


@pytest.mark.parametrize(
    'value',
    [
        '__import__("os").system("touch {0}")',
        'dict(a=__import__("os").system("touch {0}"))',
        '[open("{0}", "w")]',
        '(lambda: open("{0}", "w"))()',
        'dict(a=[open("{0}", "w") for _ in "a"])',
        'f\'{{open("{0}", "w")}}\'',
        '{{open("{0}", "w"): 1}}',
        '{{**dict(a=open("{0}", "w"))}}',
        '{{[]: 1}}',
        '1 if open("{0}", "w") else 2',
        'dict([("a", 1)])',
        'other',
        '(' * 500 + ')' * 500,
        '-' * 100_000 + '1',
        '"\0"',
        'dict(',
    ],
)
def test_anything_else_is_refused(tmp_path, value):
    marker, path = tmp_path / 'marker', tmp_path / 'evil.py'
    path.write_text(f'import os\nother = os.system("touch {marker}")\nx = {value.format(marker)}\n')
    with pytest.raises(ValueError, match='evil.py: x cannot be read without running it'):
        read_value(path, 'x')
    assert not marker.exists()


def test_a_file_too_large(tmp_path, monkeypatch):
    (tmp_path / 'a.py').write_text('x = 1\n')
    monkeypatch.setattr('cream_mm.files.config_values.MAX_BYTES', 5)
    with pytest.raises(ValueError, match='too large'):
        read_value(tmp_path / 'a.py', 'x')
