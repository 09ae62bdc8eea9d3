"""Predictions of a person's own files: by a checkpoint, or by an ONNX file without PyTorch."""
