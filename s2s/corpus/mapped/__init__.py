"""Corpora larger than memory: the texts in one file with offsets, made once, read pair by pair."""
