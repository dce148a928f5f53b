"""Models: ONNX inference, metadata, external models and their safety check."""
