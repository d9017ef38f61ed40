"""Brings a model to one door or to hundreds, over SSH; what the doors answer with is `maskwatch.receive`."""
