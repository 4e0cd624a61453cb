"""What every room stands on: errors, whole files, progress, this machine, pages and plots."""
