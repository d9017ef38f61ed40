"""The converter's verbs of `maskwatch`."""
