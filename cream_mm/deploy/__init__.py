"""Models as files that other programs run: ONNX and what is made of it, each checked."""
