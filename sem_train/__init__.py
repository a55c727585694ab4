"""Datasets in, answers out."""
