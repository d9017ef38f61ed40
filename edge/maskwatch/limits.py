"""How large a bundle and its signature may be: for who must know before either is read. Imports nothing."""

MAX_BUNDLE_BYTES = 32 * 1024 * 1024
"""Some thirty times what a bundle weighs; it bounds the memory that opening one takes."""

MAX_SIGNATURE_BYTES = 4096
"""One of RSA with 8192 bits takes 3 kB, of Ed25519 a tenth of that; any pipe takes as much as this at once."""
