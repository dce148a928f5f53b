"""Databases and settings: the analysis cache, the journal, configuration, vocabularies."""
