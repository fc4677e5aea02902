"""An ONNX file as OpenVINO's own pair of files, in float32 and with the same metadata."""

import json
from pathlib import Path

from .onnx_file import KEY, read_about


def convert(path: str | Path) -> Path:
    """Write ``NAME.xml`` and ``NAME.bin`` beside an ONNX file of ours.

    The metadata are in the runtime information of the model, under the same key:
    ``model.get_rt_info('cream_mm')``.

    Returns:
        Path: The ``.xml``.

    Raises:
        ImportError: If openvino is not installed.
        ValueError: If OpenVINO cannot read the file.
    """
    try:
        import openvino
    except ImportError as error:
        raise ImportError(
            'this needs the package openvino: pip install "cream-mm[openvino]"'
        ) from error
    about, out = read_about(path), Path(path).with_suffix('.xml')
    try:
        model = openvino.convert_model(str(path))
    except Exception as error:  # of its own kinds
        reason = ' '.join(str(error).split())
        raise ValueError(f'openvino {openvino.__version__} cannot read {path}: {reason}') from error
    model.set_rt_info(json.dumps(about), KEY)
    openvino.save_model(model, str(out), compress_to_fp16=False)
    return out
