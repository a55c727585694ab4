"""Which samples go into which task of which pool. Pure: no files, no processes, no clock."""
