"""The table of the comparison of detectors, and what is left to run."""

import argparse
import json
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
bench = runpy.run_path(str(ROOT / 'benchmarks/photos_detector.py'))


def record(name, seed, value, draws, **more):
    return dict(
        name=name, seed=seed, mAP=value, mAP_50=0.9, draws=draws, side=288, macs_m=421.0,
        whole_macs_m=1240.0, share=0.7, cpu_s=1200.0, minutes=11.0, **more,
    )  # fmt: skip


@pytest.fixture
def records():
    rows = [
        record('found', 0, 0.70, [0.68, 0.70, 0.72]),
        record('found', 1, 0.74, [0.72, 0.74, 0.76]),
        record('random-1', 0, 0.60, [0.58, 0.61, 0.64]),
        record('random-1', 1, 0.70, [0.70, 0.69, 0.68]),
        record('full', 0, 0.72, [0.692, 0.72, 0.76]),
        dict(name='search', seed=0, cpu_s=3000.0, minutes=30.0),
    ]
    return {(row['name'], row['seed']): row for row in rows}


def test_differences_are_paired_over_images_and_averaged_over_seeds(records):
    low, high, mean = bench['difference'](records, 'random-1', [0, 1])
    assert mean == pytest.approx((0.10 + 0.04) / 2)
    # Of the three draws: (0.10 + 0.02) / 2, (0.09 + 0.05) / 2, (0.08 + 0.08) / 2.
    assert low == pytest.approx(0.06 + 0.05 * 0.01) and high == pytest.approx(0.08 - 0.05 * 0.01)


def test_the_table(records):
    lines = bench['table'](records).splitlines()
    assert lines[2].startswith('| found | 288 | 421 | 1240 | 0.70 | 0.700 | 0.740 |')
    # Of one seed alone, that seed of the found one is compared.
    assert lines[3] == ('| full | 288 | 421 | 1240 | 0.70 | 0.720 | | -0.020 [-0.039, -0.012] |')
    worse = dict(records['full', 0], draws=[0.67, 0.71, 0.71])  # found less it: 1, -1, 1 hundredths
    lines = bench['table'](records | {('full', 0): worse}).splitlines()
    assert lines[3].endswith('| -0.020 [-0.009, +0.010], not decided |')
    assert '| random-1 | 288 | 421 | 1240 | 0.70 | 0.600 | 0.700 | +0.070' in lines[4]
    assert lines[-2:] == ['The search took 50 CPU minutes.', 'A training takes 20 CPU minutes.']


def test_what_is_missing(tmp_path, records):
    file = tmp_path / 'records.jsonl'
    file.write_text(''.join(json.dumps(row) + '\n' for row in records.values()))
    args = argparse.Namespace(
        records=file, work_dir=tmp_path, data=tmp_path, epochs=24, options=[], search_options=[],
        only=None, seed=None,
    )  # fmt: skip
    missing = bench['Runs'](args).missing()
    assert ('search', 0) not in missing and ('found', 1) not in missing
    assert [run for run in missing if run[1] == 0] == [('lower-size', 0), ('random-2', 0)]
    assert len(missing) == 11 - 6
