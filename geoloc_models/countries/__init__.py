"""Country polygons, and the country of a coordinate."""
