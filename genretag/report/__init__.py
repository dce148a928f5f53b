"""Rows of a plan -> what a person or a program reads."""
