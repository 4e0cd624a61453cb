"""What a model is worth: figures, their intervals, comparisons, pages."""
