"""What people see of a job, read from disk at any time."""
