"""Recipe in, labelled micrographs out."""
