"""Measurements as tables: a quantity a row, an image a row, an object a row, and JSON."""
