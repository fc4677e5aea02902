"""How long modules take, on a machine that others use, too: every time is beside a reference's."""

import gc
import importlib.metadata
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn as nn

from ..environment import processor_name, usable_cores
from ..structures.randomness import named_rng
from .export_onnx import onnx_bytes

BACKENDS = ('onnxruntime', 'openvino', 'torch')
DEVICES = ('cpu', 'cuda')
Run = Callable[[], None]

ROUNDS = 16
REPEATS = 5  # of one model in a round, of which the fastest counts
NOISY = 1.3
"""A round's ratio is an outlier where it is so many times the median of all rounds, or more."""


class Timing(NamedTuple):
    """Times of one model.

    Attributes:
        ratio (float): Median over the rounds of its time in units of the reference's.
        ms (float): Median over the rounds of its time.
        reference_ms (float): The same of the reference, in the same rounds.
        outliers (int): Rounds that something else on the machine disturbed.
    """

    ratio: float
    ms: float
    reference_ms: float
    outliers: int


class Backend:
    """Loads modules into a runtime.

    Args:
        name (str): Of :data:`BACKENDS`.
        device (str): Of :data:`DEVICES`.
        threads (int): Of one model. On a GPU they do not matter.

    Raises:
        ValueError: If there is no such runtime, or no such device here.
        ImportError: If its package is not installed.
    """

    def __init__(self, name: str, device: str = 'cpu', threads: int = 1):
        if name not in BACKENDS or device not in DEVICES:
            raise ValueError(
                f'a backend is one of {", ".join(BACKENDS)} and a device one of '
                f'{", ".join(DEVICES)}; got {name} and {device}'
            )
        if threads < 1:
            raise ValueError(f'a model runs in at least one thread; got {threads}')
        self.name, self.device, self.threads = name, device, threads
        if name == 'torch':
            if device == 'cuda' and not torch.cuda.is_available():
                raise ValueError('no GPU is here that torch can use; --device cpu measures the CPU')
            torch.set_num_threads(threads)
            torch.set_flush_denormal(True)
            return
        _need(name)
        if name == 'openvino' and device == 'cuda':
            raise ValueError('OpenVINO does not run on CUDA; take --backend onnxruntime or torch')
        if name == 'onnxruntime' and device == 'cuda':
            import onnxruntime

            if 'CUDAExecutionProvider' not in onnxruntime.get_available_providers():
                raise ValueError(
                    'the onnxruntime that is installed has no CUDA; install onnxruntime-gpu, or '
                    'take --backend torch'
                )

    @property
    def clock(self) -> Callable[[], float]:
        """What times are taken by, in seconds.

        One thread on a CPU waits for nothing: the time that it has the core is what a calm machine
        takes, and what others take of the core in between does not count.
        """
        alone = self.device == 'cpu' and self.threads == 1
        return time.process_time if alone else time.perf_counter

    def load(self, module: nn.Module, input_shape: Sequence[int]) -> Run:
        """What runs the module once, on normal noise, and returns when it is done."""
        image = named_rng('latency_input', 0, 0).standard_normal(tuple(input_shape))
        image = np.ascontiguousarray(image, dtype=np.float32)
        return getattr(self, f'_{self.name}')(module, image)

    def _onnxruntime(self, module: nn.Module, image: np.ndarray) -> Run:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry('session.set_denormal_as_zero', '1')
        # Or the threads of one model wait, at full speed, while the next one is timed.
        options.add_session_config_entry('session.force_spinning_stop', '1')
        provider = 'CUDAExecutionProvider' if self.device == 'cuda' else 'CPUExecutionProvider'
        content = onnx_bytes(module, image.shape)
        session = onnxruntime.InferenceSession(content, options, providers=[provider])
        inputs = {session.get_inputs()[0].name: image}
        return lambda: session.run(None, inputs)

    def _openvino(self, module: nn.Module, image: np.ndarray) -> Run:
        import openvino

        core = openvino.Core()
        settings = dict(
            INFERENCE_NUM_THREADS=self.threads, NUM_STREAMS=1, PERFORMANCE_HINT='LATENCY',
            INFERENCE_PRECISION_HINT='f32', CPU_DENORMALS_OPTIMIZATION=True,
        )  # fmt: skip
        content = onnx_bytes(module, image.shape)
        request = core.compile_model(core.read_model(content), 'CPU', settings)
        request = request.create_infer_request()
        return lambda: request.infer([image], share_inputs=True)

    def _torch(self, module: nn.Module, image: np.ndarray) -> Run:
        module = module.to(self.device).eval()
        x = torch.from_numpy(image).to(self.device)
        is_cuda = self.device == 'cuda'

        def run() -> None:
            with torch.inference_mode():
                module(x)
            if is_cuda:
                torch.cuda.synchronize()

        return run

    def machine(self) -> dict:
        """What times depend on, as a latency file has it."""
        packages = ('torch',) if self.name == 'torch' else (self.name, 'torch')
        processor = torch.cuda.get_device_name() if self.device == 'cuda' else processor_name()
        return dict(
            processor=processor, cores=usable_cores(), threads=self.threads, device=self.device,
            backend=self.name, dtype='float32',
            versions={name: importlib.metadata.version(name) for name in packages},
            system=f'{platform.system()} {platform.release()}, Python {platform.python_version()}',
        )  # fmt: skip


def _need(package: str) -> None:
    try:
        __import__(package)
    except ImportError as error:
        extra = 'openvino' if package == 'openvino' else 'onnx'
        raise ImportError(
            f'{package} is not installed: pip install "cream-mm[{extra}]"; or take --backend torch'
        ) from error


def default_threads() -> int:
    """Cores that this process may use: of its affinity, and of the quota of its container."""
    return max(1, min(usable_cores(), int(cpu_quota() or usable_cores())))


def cpu_quota(root: str = '/sys/fs/cgroup') -> float | None:
    """Cores' worth of time that the container may take; None without a limit."""
    try:
        with open(os.path.join(root, 'cpu.max')) as file:  # version 2
            quota, period = file.read().split()
    except (OSError, ValueError):
        try:
            with open(os.path.join(root, 'cpu', 'cpu.cfs_quota_us')) as file:
                quota = file.read().strip()
            with open(os.path.join(root, 'cpu', 'cpu.cfs_period_us')) as file:
                period = file.read().strip()
        except OSError:
            return None
    return int(quota) / int(period) if quota not in ('max', '-1') else None


@torch.no_grad()
def fit_norms(module: nn.Module, input_shape: Sequence[int]) -> None:
    """Give batch norms the statistics of noise, so that no map vanishes or overflows on its way.

    Numbers too small for the usual format slow a CPU down many times; trained networks have none.
    """
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    shape = (max(2, input_shape[0]), *input_shape[1:])
    noise = named_rng('latency_noise', 0, 0).standard_normal(shape).astype(np.float32)
    module.train()(torch.from_numpy(noise))
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum
    module.eval()


def time_beside(
    runs: Sequence[Run],
    reference: Run,
    *,
    rounds: int = ROUNDS,
    repeats: int = REPEATS,
    seed: int = 0,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Timing]:
    """Time models in rounds; in each the reference is timed right before each of them.

    A shared machine becomes slower and faster within seconds. The ratio of two times that were
    taken one after the other hardly changes by that. On two busy cores, two timings of one network
    differ by 1.9 % without the reference, by 0.9 % beside it.

    Args:
        runs (Sequence[Run]): The models, loaded.
        reference (Run): Another model, the same in all calls.
        rounds (int): Each in another order.
        repeats (int): Runs of one model in a round, after one that does not count.
        seed (int): Of the orders.
        clock (callable): In seconds.
    """
    own: list[list[float]] = [[] for _ in runs]
    beside: list[list[float]] = [[] for _ in runs]
    was_collecting = gc.isenabled()
    gc.disable()
    try:
        for number in range(rounds):
            for i in named_rng('latency_order', seed, number).permutation(len(runs)):
                beside[i].append(_fastest_ms(reference, repeats, clock))
                own[i].append(_fastest_ms(runs[i], repeats, clock))
    finally:
        if was_collecting:
            gc.enable()
    found = []
    for times, others in zip(own, beside):
        ratios = [a / b for a, b in zip(times, others)]
        middle = statistics.median(ratios)
        disturbed = sum(not middle / NOISY < ratio < middle * NOISY for ratio in ratios)
        medians = statistics.median(times), statistics.median(others)
        found.append(Timing(middle, *medians, disturbed))
    return found


def _fastest_ms(run: Run, repeats: int, clock: Callable[[], float]) -> float:
    """Of a few runs; what is slower was interrupted."""
    run()  # caches are another model's
    times = []
    for _ in range(repeats):
        start = clock()
        run()
        times.append(clock() - start)
    return min(times) * 1e3
