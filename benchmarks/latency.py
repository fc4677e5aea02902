"""Do tables of latency predict networks? Builds and checks one for each space, backend and threads.

  python benchmarks/latency.py            all: some 40 minutes of a machine that does nothing else
  python benchmarks/latency.py cream-1    one of them

Tables go to work_dirs/latency; what the checks found is docs/results/latency.json.
"""

import json
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / 'work_dirs/latency'
RESULTS = ROOT / 'docs/results/latency.json'
CASES = {
    'nas_bench_macro-1': ('nas_bench_macro', 32, 'onnxruntime', 1, 1),
    'cream-1': ('cream', 224, 'onnxruntime', 1, 15),
    'nas_bench_macro-torch-1': ('nas_bench_macro', 32, 'torch', 1, 1),
    'nas_bench_macro-openvino-1': ('nas_bench_macro', 32, 'openvino', 1, 1),
    'lite0-1': ('lite0', 224, 'onnxruntime', 1, 10),
    'cream-2': ('cream', 224, 'onnxruntime', 2, 15),
    'nas_bench_macro-2': ('nas_bench_macro', 32, 'onnxruntime', 2, 1),
    'lite0-2': ('lite0', 224, 'onnxruntime', 2, 10),
}
"""Space, pixels, backend, threads, and minutes of the build."""


def main(names: list[str]) -> None:
    from cream_mm.apis.check_latency import check_latency
    from cream_mm.apis.latency_table import build_latency
    from cream_mm.files import write_json

    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in names or list(CASES):
        space, size, backend, threads, minutes = CASES[name]
        out, start = FOLDER / f'{name}.json', time.monotonic()
        content = build_latency(
            space, out, backend=backend, threads=threads, sizes=[(size, size)], minutes=minutes
        )
        built = time.monotonic() - start
        check_latency(out)
        (table,) = json.loads(out.read_text())['tables']
        results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        results[name] = dict(
            machine=content['machine'], size=size, networks_fitted=table['networks'],
            build_s=round(built, 1), reference_ms=table['reference_ms'], **table['check'],
        )  # fmt: skip
        write_json(RESULTS, results)


if __name__ == '__main__':
    main(sys.argv[1:])
