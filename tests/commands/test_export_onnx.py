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


def test_a_folder_of_photographs_that_is_not_there():
    with pytest.raises(FileNotFoundError, match='no folder /nowhere'):
        main(['lite0', '--images', '/nowhere'])
