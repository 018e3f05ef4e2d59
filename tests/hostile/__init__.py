"""Models, files and servers of strangers, made on the spot."""
