"""Exporting again: files of other weights go, those of a user and of the same weights stay."""

import json

import onnx
import pytest
from onnx import parser

from cream_mm.deploy.earlier import remove_earlier
from cream_mm.deploy.onnx_file import write_about

ABOUT = dict(
    task='classification', classes=['cat', 'dog'], input=dict(size=[4, 4]), normalisation={},
    resize=None, outputs={}, weights=dict(sha256='a'),
)  # fmt: skip
NEW = dict(ABOUT, weights=dict(sha256='b'))
NET = '<ir_version: 8, opset_import: ["" : 17]> net (float[1] x) => (float[1] y) { y = Relu (x) }'
XML = '<net><rt_info><conversion_parameters/>{}</rt_info></net>'


def of_onnx(path, **more):
    model = parser.parse_model(NET)
    write_about(model, dict(ABOUT, **more))
    onnx.save(model, path)


@pytest.fixture
def folder(tmp_path):
    of_onnx(tmp_path / 'model.int8.onnx', int8=dict(images=3, bits=8))
    of_onnx(tmp_path / 'model.failed.onnx')
    text = json.dumps(dict(ABOUT, format=1)).replace('"', '&quot;')
    (tmp_path / 'model.xml').write_text(XML.format(f'<cream_mm value="{text}"/>'))
    (tmp_path / 'model.bin').touch()
    record = dict(about=ABOUT, checks=dict(onnxruntime=1, openvino=2), int8=3)
    (tmp_path / 'export.json').write_text(json.dumps(record))
    return tmp_path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_files_of_other_weights_go_and_are_said(folder, capsys):
    kept = remove_earlier(folder, folder / 'export.json', NEW, ['model.int8.onnx'])
    assert kept == dict(checks={}) and names(folder) == ['export.json']
    assert capsys.readouterr().out == (
        f'{folder}: removed model.failed.onnx, model.xml, model.bin of an earlier export\n'
    )


def test_files_of_the_same_weights_stay_with_what_is_known_of_them(folder, capsys):
    kept = remove_earlier(folder, folder / 'export.json', ABOUT)
    assert kept == dict(checks=dict(openvino=2), int8=3)
    assert names(folder) == ['export.json', 'model.bin', 'model.int8.onnx', 'model.xml']
    assert capsys.readouterr().out == f'{folder}: removed model.failed.onnx of an earlier export\n'
    assert remove_earlier(folder, folder / 'export.json', ABOUT, ['model.xml']) == dict(
        checks={}, int8=3
    )
    (folder / 'export.json').write_text(json.dumps(dict(about=NEW, checks=dict(openvino=2))))
    assert remove_earlier(folder, folder / 'export.json', ABOUT) == dict(checks={})


def test_files_of_others_stay(tmp_path, capsys):
    model = parser.parse_model(NET)
    onnx.save(model, tmp_path / 'model.int8.onnx')
    (tmp_path / 'model.xml').write_text(XML.format('<framework><cream_mm value="{}"/></framework>'))
    (tmp_path / 'model.failed.onnx').write_text('no model')
    (tmp_path / 'model.failed.xml').write_text('<no xml')
    found = names(tmp_path)
    assert remove_earlier(tmp_path, tmp_path / 'export.json', NEW) == dict(checks={})
    assert names(tmp_path) == found and not capsys.readouterr().out
