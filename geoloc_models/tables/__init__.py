"""Tables of photos: reading, choosing, splitting, leakage."""
