"""Networks as files of other runtimes, ONNX and OpenVINO, checked against PyTorch."""
