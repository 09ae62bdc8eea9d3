"""Which datasets there are, how their folders are read, what their labels mean, which images may be used."""
