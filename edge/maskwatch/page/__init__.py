"""The aiming preview: what the camera sees and what is made of it, on a page at loopback and as text in a terminal."""
