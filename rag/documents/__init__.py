"""What a person has, to the passages that are searched: found, read in a process apart, split."""
