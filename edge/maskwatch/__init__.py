"""Maskwatch on the edge: camera frames in, light and sound out."""
