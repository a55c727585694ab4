"""What is on disk: the folder of a job, its shards, journals and failures. Each file has one writer."""
