"""From a trained network to a bundle: calibrate, quantise, compare, pack."""
