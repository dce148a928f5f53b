"""Analyse a library: workers, the model, the analysis cache, and the plan."""
