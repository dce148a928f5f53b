"""The only code that changes music files: a journal, a safe write, and the way back."""
