"""Our own models by torch operations alone, the kernels in C++ switched off."""

from rows import train_demo_voice

NAME = "torch operations only"
ENVIRONMENT = {"SPEECHSEQ_NATIVE": "0"}
STEPS = {"update the demo's voice": train_demo_voice.float32}
