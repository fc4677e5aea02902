"""Latency of the networks of photos.py, each beside the full network, on a machine without load."""

from collections.abc import Mapping
from pathlib import Path

from cream_mm.apis.create_model import create_model
from cream_mm.apis.time_networks import Backend, fit_norms, time_beside
from cream_mm.files import read_json, write_json


def time_records(
    records: Mapping[tuple, Mapping], of: str, out: Path, classes: int, threads: int = 1
) -> Path:
    """Measure each network of a set of images, a batch of one, and write ``photos_times.json``.

    Args:
        records (Mapping): As ``Records.read`` gives them.
        of (str): The set.
        out (Path): Folder of the file; what it says of other sets stays.
        classes (int): Outputs of the networks.
        threads (int): Of one network. Defaults to 1.
    """
    backend, path = Backend('onnxruntime', threads=threads), out / 'photos_times.json'
    rows = {key: r for key, r in records.items() if key[0] == of and r.get('arch')}
    if not rows:
        raise ValueError(f'no record of {of} has a network to time')
    names = {f'{of} {fold} {name}': r for (_, fold, name), r in rows.items()}
    loaded = {}
    for name, record in names.items():
        network = str((record['arch'], record['space'], record['input_size']))
        if network not in loaded:
            print(f'loading {name}', flush=True)
            model = create_model(record['arch'], classes, space=record['space'])
            shape = (1, 3, record['input_size'], record['input_size'])
            fit_norms(model, shape)
            loaded[network] = backend.load(model, shape)
    whole = next((r for r in names.values() if r['kind'] == 'full'), None)
    if whole is None:
        raise ValueError(f'the full network of {of} has no record yet; others are timed beside it')
    reference = loaded[str((whole['arch'], whole['space'], whole['input_size']))]
    timings = time_beside(list(loaded.values()), reference, clock=backend.clock)
    times = dict(zip(loaded, timings))
    standard = sorted(t.reference_ms for t in timings)[len(timings) // 2]
    found = read_json(path) if path.is_file() else {}
    found = {key: value for key, value in found.items() if not key.startswith(f'{of} ')}
    for name, record in names.items():
        timing = times[str((record['arch'], record['space'], record['input_size']))]
        found[name] = dict(ms=round(timing.ratio * standard, 3), ratio=round(timing.ratio, 4))
        print(f'{name:28s} {timing.ratio * standard:7.3f} ms  {timing.ratio:.3f} of the full one')
    write_json(path, dict(found, machine=backend.machine()))
    return path
