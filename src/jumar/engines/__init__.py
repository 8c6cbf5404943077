"""Where an algorithm runs. Importing this package loads nothing."""
