"""The local engine: sampling, scoring and training on this machine."""
