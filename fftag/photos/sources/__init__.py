"""Sources of photos: a folder, a list of files, archives, a bucket."""
