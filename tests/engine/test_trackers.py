"""What the real packages wrote is read back; a test skips where its package is absent."""

import glob
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.visualization import Visualizer

from cream_mm.engine.trackers import _leaves, _numbers

SCALARS = dict(loss=torch.tensor(0.5), lr=np.float32(0.25), epoch=3, note='text', two=np.ones(2))
WRITTEN = dict(loss=0.5, lr=0.25, epoch=3.0)
CONFIG = dict(lr=0.25, model=dict(type='Net', widths=[8, 16]), hooks=[dict(type='A')])
PICTURE = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


def write(tmp_path, name, monkeypatch):
    """As a run does: the config when it is built, steps that go back, a picture, the end."""
    for variable in ('WANDB_MODE', 'WANDB_PROJECT', 'WANDB_NAME', 'MLFLOW_TRACKING_URI',
                     'MLFLOW_EXPERIMENT_NAME'):  # fmt: skip
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    visualizer = Visualizer(
        vis_backends=[dict(type=f'cream_mm.{name}')], save_dir=str(tmp_path / 'run/time')
    )
    visualizer.add_config(Config(dict(CONFIG, work_dir=str(tmp_path / 'run'))))
    visualizer.add_scalars(dict(SCALARS), step=27)
    visualizer.add_scalars({'accuracy/top1': 12.5}, step=1)  # of epoch 1
    visualizer.add_image('front', PICTURE, step=1)
    how = visualizer.get_backend(name).how_to_look
    visualizer.close()
    assert [p.name for p in tmp_path.iterdir()] == ['run']  # nothing beside the work_dir
    return how


@pytest.mark.slow
def test_tensorboard(tmp_path, monkeypatch):
    pytest.importorskip('tensorboard', reason='tensorboard is not installed')
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert write(tmp_path, 'TensorboardTracker', monkeypatch) == 'tensorboard --logdir run'
    events = EventAccumulator(str(tmp_path / 'run/time/vis_data'))
    events.Reload()
    read = {
        tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()['scalars']
    }
    assert read == {**{k: [(27, v)] for k, v in WRITTEN.items()}, 'accuracy/top1': [(1, 12.5)]}
    image = events.Images('front')[0]
    assert (image.width, image.height) == (6, 4)
    text = events.Tensors('config/text_summary')[0].tensor_proto.string_val[0].decode()
    config = Config(dict(CONFIG, work_dir=str(tmp_path / 'run'))).pretty_text
    assert [line[4:] for line in text.splitlines()] == config.splitlines()


def wandb_records(path):
    """What a ``.wandb`` file holds: LevelDB's log format behind a header of seven bytes."""
    from wandb.proto import wandb_internal_pb2

    data, at, whole = path.read_bytes(), 7, b''
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:  # no header is split between blocks
            at += 32768 - at % 32768
            continue
        _, length, kind = struct.unpack('<IHB', data[at : at + 7])
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # all of a record, or its last part
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            yield record
            whole = b''


@pytest.mark.slow
def test_wandb_is_offline_and_keeps_every_step(tmp_path, monkeypatch):
    pytest.importorskip('wandb', reason='wandb is not installed')
    how = write(tmp_path, 'WandbTracker', monkeypatch)
    [folder] = glob.glob('run/wandb/offline-run-*')
    assert how == f'wandb sync {folder}'
    rows, config, run = [], {}, None
    for record in wandb_records(next(Path(folder).glob('*.wandb'))):
        if record.HasField('history'):
            rows.append({
                '/'.join(i.nested_key) or i.key: json.loads(i.value_json)
                for i in record.history.item
            })  # fmt: skip
        for item in record.config.update:
            config[item.key] = json.loads(item.value_json)
        run = record.run if record.HasField('run') else run
    assert {k: rows[0][k] for k in (*WRITTEN, 'step')} == {**WRITTEN, 'step': 27}
    assert (rows[1]['accuracy/top1'], rows[1]['step']) == (12.5, 1)
    assert rows[2]['front/width'] == 6
    assert config['model'] == CONFIG['model'] and config['lr'] == 0.25
    assert (run.project, run.display_name) == ('cream_mm', 'run')


@pytest.mark.slow
def test_mlflow(tmp_path, monkeypatch):
    pytest.importorskip('mlflow', reason='mlflow is not installed')
    from mlflow import MlflowClient

    how = write(tmp_path, 'MlflowTracker', monkeypatch)
    uri = f'sqlite:///{tmp_path}/run/mlflow.db'
    assert how == f'mlflow ui --backend-store-uri {uri}'
    client = MlflowClient(uri)
    [run] = client.search_runs([client.get_experiment_by_name('cream_mm').experiment_id])
    assert run.info.status == 'FINISHED' and run.info.run_name == 'run'
    assert run.data.metrics == {**WRITTEN, 'accuracy/top1': 12.5}
    assert [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, 'loss')] == [
        (27, 0.5)
    ]
    assert run.data.params['model.widths'] == '[8, 16]' and 'hooks' not in run.data.params
    artifacts = {one.path for one in client.list_artifacts(run.info.run_id)}
    assert artifacts == {'config.py', 'front.png'}


def test_numbers_and_leaves():
    assert _numbers(SCALARS) == WRITTEN
    assert _leaves(CONFIG) == [('lr', 0.25), ('model.type', 'Net'), ('model.widths', [8, 16])]
