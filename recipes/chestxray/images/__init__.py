"""From encoded images to batches on the device: decoding, the pixel cache, order, augmentation, streaming."""
