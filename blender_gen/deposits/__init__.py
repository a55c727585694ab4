"""Particles on a substrate: what lies where, and how the beam sees it."""
