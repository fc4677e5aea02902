"""Write a classifier, a detector or feature maps as ONNX, and compare the file with PyTorch."""

from cream_mm.command_line import one_line_errors
from cream_mm.commands.export_onnx import main

if __name__ == '__main__':
    with one_line_errors():
        main()
