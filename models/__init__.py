"""The bundled model and its card."""
