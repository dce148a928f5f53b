"""The recipe of the bundled model: clips and teachers' answers -> ``models/genretag.onnx``."""
