"""Evaluation of models: metrics, and comparison with labels and tags."""
