"""What a person sees of a run: the progress line, the tables, the curves."""
