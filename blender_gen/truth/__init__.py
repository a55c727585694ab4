"""What a specimen is, from its geometry, as it is stored with a sample: one module a family."""
