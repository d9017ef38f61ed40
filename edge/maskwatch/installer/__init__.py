"""Puts Maskwatch onto a Pi and takes it off again, with nothing but Python's own library."""
