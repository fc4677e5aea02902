"""An ONNX file as OpenVINO's own pair of files, in float32 and with the same metadata."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .onnx_file import KEY, read_about
from .parity import LIMIT, distance
from .runtimes import Runtime, openvino_session

TOLERANCES = dict(f32=LIMIT, f16=1e-2, bf16=1e-1)
"""Largest difference of probabilities or scores, or of a map as a share of its largest value, that
rounding to a precision explains. In bfloat16 a number has 8 bits: 0.4 % in each layer."""


class Precision(NamedTuple):
    """What OpenVINO's own choice of precision changes.

    Attributes:
        name (str): ``'f32'``, ``'f16'`` or ``'bf16'``.
        output (str): Of which output.
        difference (float): The largest one to float32.
        tolerance (float): What the precision explains.
    """

    name: str
    output: str
    difference: float
    tolerance: float

    def line(self) -> str:
        """For the user."""
        text = (
            f"OpenVINO's own choice of precision on this processor is {self.name}: {self.output} "
            f'differ by at most {self.difference:.1e} from float32, {self.tolerance:.0e} is usual'
        )
        if not self.difference <= self.tolerance:
            text += '. That is more: set INFERENCE_PRECISION_HINT to f32'
        return text


def convert(path: str | Path) -> Path:
    """Write ``NAME.xml`` and ``NAME.bin`` beside an ONNX file of ours.

    Weights stay in float32. The metadata are in the runtime information of the model, under the
    same key: ``model.get_rt_info('cream_mm')``.

    Returns:
        Path: The ``.xml``.

    Raises:
        ImportError: If openvino is not installed.
        ValueError: If OpenVINO cannot read the file.
    """
    openvino = _package()
    about, out = read_about(path), Path(path).with_suffix('.xml')
    try:
        model = openvino.convert_model(str(path))
    except Exception as error:  # of its own kinds
        reason = ' '.join(str(error).split())
        raise ValueError(f'openvino {openvino.__version__} cannot read {path}: {reason}') from error
    model.set_rt_info(json.dumps(about), KEY)
    # Whole files alone get the names: the .xml tells what is where in the .bin.
    with tempfile.TemporaryDirectory(prefix='.openvino-', dir=out.parent) as folder:
        written = Path(folder, out.name)
        openvino.save_model(model, str(written), compress_to_fp16=False)
        for suffix in ('.bin', '.xml'):
            os.replace(written.with_suffix(suffix), out.with_suffix(suffix))
    return out


def compare_default(path: str | Path, exact: Runtime, image: np.ndarray) -> Precision:
    """What the precision that OpenVINO takes by itself changes; it depends on the processor.

    Args:
        path (str | Path): The ``.xml``.
        exact (Runtime): The same file in float32.
        image (ndarray): (N, 3, H, W), as the file takes it.
    """
    compiled: Any = _package().Core().compile_model(str(path), 'CPU')
    name = compiled.get_property('INFERENCE_PRECISION_HINT').get_type_name()
    ours, theirs = openvino_session(path, precision=None)(image), exact(image)
    # Of a detector the scores, which fall: its rows may change places.
    output = 'scores' if 'scores' in theirs else next(iter(theirs))
    kind = 'probabilities' if output == 'scores' else output
    off = distance(ours[output], theirs[output], kind)
    return Precision(name, output, off, TOLERANCES.get(name, LIMIT))


def _package() -> Any:
    try:
        import openvino
    except ImportError as error:
        raise ImportError(
            'this needs the package openvino: pip install "cream-mm[openvino]"'
        ) from error
    return openvino
