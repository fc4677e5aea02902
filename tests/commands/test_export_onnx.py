"""Arguments that cannot be meant are said before anything is read."""

import pytest

from cream_mm.commands.export_onnx import main, parse_args


@pytest.mark.parametrize(
    'words, message',
    [
        (['a', '--batch', '0'], '--batch: it is at least 1'),
        (['a', '--size', '0', '3'], '--size: sides are at least 1'),
        (['a', '--check-images', '0'], '--check-images: it is at least 1'),
    ],
)
def test_arguments_out_of_range(words, message, capsys):
    with pytest.raises(SystemExit):
        parse_args(words)
    assert message in capsys.readouterr().err


def test_a_config_alone_has_no_weights():
    with pytest.raises(ValueError, match='give CONFIG CHECKPOINT, or the work directory'):
        main(['configs/retinanet_cream.py'])
