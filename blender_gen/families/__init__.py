"""Families of specimens: parameters and a generator in, a Specimen out."""
