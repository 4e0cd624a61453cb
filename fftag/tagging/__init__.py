"""Photos in, one tags file out: what is there, what has to be read, what is published."""
