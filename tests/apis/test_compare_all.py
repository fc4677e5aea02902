"""The table of a comparison: means over the seeds, and paired differences with found."""

from types import SimpleNamespace

import numpy as np
import pytest

from cream_mm.apis import compare_all as module
from cream_mm.apis.compare import Network
from cream_mm.apis.compare_all import CHOSEN_BY, compare_all, pick, summary, table_lines
from cream_mm.files import read_json


def record(name, hits, seed=0, share=None, **more):
    return dict(
        name=name, kind=name.rpartition('-')[0] or name, share=share, seed=seed, hits=hits,
        num_images=len(hits), losses=[1.0 - 0.5 * int(hit) for hit in hits],
        top1=100 * hits.count('1') / len(hits), ce=0.5, macs_m=50.0, full_macs_m=100.0,
        input_size=96, epochs=12, minutes=8.0, cpu_s=800.0, **{'images': 'same', **more},
    )  # fmt: skip


def test_rows_and_lines():
    rows = summary([
        record('full', '1110'), record('found-50', '1111', share=0.5),
        record('full', '1010', seed=1), record('found-50', '1111', seed=1, share=0.5),
        record('found-70', '1111', share=0.7), record('narrower-50', '1111', share=0.5),
    ])  # fmt: skip
    rows = {row['name']: row for row in rows}
    assert rows['full']['top1'] == 62.5 and rows['full']['seeds'] == 2
    # Found is right on 3 of 8 answers that the full network missed; both seeds saw the same images.
    told = rows['full']['found_less_it']
    half = 1.959964 * np.std([0, 50, 0, 100], ddof=1) / 2
    assert told['found-50']['top1'] == pytest.approx(
        dict(mean=37.5, low=37.5 - half, high=37.5 + half)
    )
    assert told['found-50']['ce']['mean'] == pytest.approx(-3 * 0.5 / 8)
    assert told['found-70']['top1']['mean'] == 25.0  # one seed: its own images alone
    assert set(rows['narrower-50']['found_less_it']) == {'found-50'}
    assert rows['found-50']['found_less_it'] == {}
    lines = table_lines(list(rows.values()))
    assert 'found-50: +37.5 [' in lines[1] and '0.500' in lines[1]
    assert lines[-1].endswith('+0.0 [+0.0, +0.0], not decided')


def test_networks_by_name():
    networks = [Network('full', 'full', ()), Network('found-50', 'found', (), 0.5),
                Network('found-70', 'found', (), 0.7)]  # fmt: skip
    assert pick(networks, ['found']) == networks[1:] and pick(networks, None) == networks
    assert pick(networks, ['found-70', 'full']) == [networks[0], networks[2]]
    with pytest.raises(ValueError, match='no network founds; there are found, found-50, found-70'):
        pick(networks, ['founds'])


def test_without_images_to_validate_on(tmp_path, monkeypatch):
    """The probe cannot be made, and the table of all others is there; what it is worth is said."""

    class Alone:
        def __init__(self, search, out, **kwargs):
            self.search = search
            self.folder = lambda one: tmp_path / one.name
            self.record = lambda one: None
            self.run = lambda one: record(one.name, '1110', val_part='holdout')

        def export(self, network, one, checkpoint, folder):
            raise FileNotFoundError(f'no images for {network.name}\nin two lines')

    networks = [Network('teacher', 'teacher', ()), Network('full', 'full', (None,))]
    (tmp_path / 'photos').mkdir()
    search = SimpleNamespace(
        networks=lambda shares: networks, about=dict(data_root=str(tmp_path / 'photos')),
        costs=SimpleNamespace(input_size=(32, 32)), full=None,
    )  # fmt: skip
    monkeypatch.setattr(module, 'FinishedSearch', lambda work_dir: search)
    monkeypatch.setattr(module, 'Trainer', Alone)
    said = []
    found = compare_all('search', tmp_path, root='.', shares=[0.5], say=said.append)
    assert [one['name'] for one in found] == ['teacher', 'full']
    assert said.count(CHOSEN_BY) == 2  # before the trainings, and below the table
    assert 'linear-probe is left out: no images for full' in said
    others = record('p', '01', images='others')
    monkeypatch.setattr(module, 'probe_record', lambda *a: others)
    compare_all('search', tmp_path, root='.', shares=[0.5], say=said.append)
    assert 'linear-probe is left out: it was tested on other images than the networks' in said
    rows = read_json(tmp_path / 'compare.json')['rows']
    assert [row['name'] for row in rows] == ['teacher', 'full']
    # Other images, or none: what is cut from the supernet could not be measured anew.
    with pytest.raises(ValueError, match='on the images of its search: leave data_root out'):
        compare_all('search', tmp_path, root='.', shares=[0.5], options=['data_root=x'])
    (tmp_path / 'photos').rmdir()
    with pytest.raises(FileNotFoundError, match='photos, where the images of the search were'):
        compare_all('search', tmp_path, root='.', shares=[0.5])
