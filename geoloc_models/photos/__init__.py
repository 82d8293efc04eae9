"""Photos as files and pixels: opening, EXIF, folders, tar shards."""
