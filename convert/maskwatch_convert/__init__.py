"""Maskwatch's converter: trained Keras networks to int8 TFLite, checked against float, packed as a bundle."""
