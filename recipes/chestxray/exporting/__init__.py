"""From a checkpoint to an ONNX file, and from that to logits without PyTorch."""
