import torch
from hypothesis import settings

settings.register_profile("jumar", derandomize=True, deadline=None, max_examples=25, database=None)
settings.load_profile("jumar")
torch.set_num_threads(1)
