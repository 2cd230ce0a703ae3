"""Speech sequence-to-sequence in PyTorch: text to speech and speech to text from tested parts."""

import os

__version__ = "0.1.0"

# torch reads this variable at its first tensor. Huge pages for large tensors, of which a training
# step on a CPU allocates gigabytes, make allocation six times faster and reduce fragmentation.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
