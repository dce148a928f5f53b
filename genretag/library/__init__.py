"""Find music: walk folders, watch them, and handle URLs."""
