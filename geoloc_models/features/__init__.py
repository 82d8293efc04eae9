"""Features of photos: the cache on disk, and what fills it."""
