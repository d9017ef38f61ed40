"""A/B slots: two places for model bundles beside the built-in one, and which of them a door runs."""
