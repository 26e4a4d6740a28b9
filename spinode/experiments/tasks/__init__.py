"""Many independent tasks: what is done is decided by result files, on whatever engine they run."""
