"""Training: fetching data, splitting it without leaks, fitting the networks, measuring them."""
