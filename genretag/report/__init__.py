"""Render the rows of a plan for people and for programs."""
