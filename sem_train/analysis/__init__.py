"""Micrographs in, measured specimens out: segmentation, measurement and everything that is written of it."""
