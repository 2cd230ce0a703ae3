"""Speech sequence-to-sequence in PyTorch: text to speech and speech to text from tested parts."""

import os

__version__ = "0.1.0"

# torch reads it at its first tensor: large tensors in large pages, which a training step on a CPU
# asks for by the gigabyte, cost a sixth of the time to get, and less is left over between them
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
