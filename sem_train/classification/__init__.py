"""Particles named one by one: by their picture, by their spectrum, by both."""
