"""Job in, verified dataset out."""
