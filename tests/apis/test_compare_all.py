"""The table of a comparison: means over the seeds, and paired differences with found."""

import numpy as np
import pytest

from cream_mm.apis.compare import Network
from cream_mm.apis.compare_all import pick, summary, table_lines


def record(name, hits, seed=0, share=None, **more):
    return dict(
        name=name, kind=name.rpartition('-')[0] or name, share=share, seed=seed, hits=hits,
        images='same', num_images=len(hits), losses=[1.0 - 0.5 * int(hit) for hit in hits],
        top1=100 * hits.count('1') / len(hits), ce=0.5, macs_m=50.0, full_macs_m=100.0,
        input_size=96, epochs=12, minutes=8.0, cpu_s=800.0, **more,
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
