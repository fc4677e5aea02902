"""Networks for other runtimes: files that run without PyTorch, and their check."""
