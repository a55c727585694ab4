"""Phases from X-ray spectra: one network for every spectrum, classical methods beside it, maps by tiles."""
