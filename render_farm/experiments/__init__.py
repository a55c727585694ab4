"""An experiment of `sem-train compare` as many jobs: on a cluster, or on the cores and GPUs of this machine."""
