"""Dialogues: turns of two or more who speak in turn, read from files, cut to size, and put into batches."""
