"""What semforge itself writes into image files."""

CLASSES_KEY = "semforge_classes"  # PNG text chunk that holds ClassMap.to_json()
PIXEL_SIZE_KEY = "semforge_pixel_size_um"  # PNG text chunk that holds the pixel edge in µm
