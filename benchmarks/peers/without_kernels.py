"""Our own models with torch operations only: the C++ kernels are switched off."""

from rows import speak_tacotron, train_demo_voice

NAME = "torch operations only"
ENVIRONMENT = {"SPEECHSEQ_NATIVE": "0"}
STEPS = {
    "update the demo's voice": train_demo_voice.float32,
    "text to mel with a small Tacotron 2 and an attention window": speak_tacotron.windowed,
}
