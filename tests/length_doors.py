"""Calls public functions with right and wrong lengths, tokens and memories; prints failures."""

import torch

from speechseq.audio.augment import SpecAugmentPolicy, spec_augment
from speechseq.audio.deltas import add_deltas
from speechseq.audio.griffin_lim import griffin_lim
from speechseq.audio.mel import AudioConfig, log_mel
from speechseq.batch import ASRBatch, TextBatch, TTSBatch
from speechseq.errors import ConfigError, DataError
from speechseq.inference.search.greedy import Greedy
from speechseq.inference.search.recognise import recognise
from speechseq.models.generation import free_run
from speechseq.models.language_model import LanguageModelConfig
from speechseq.models.las import las_small
from speechseq.models.loss_terms import guided_attention_loss
from speechseq.models.losses import stop_loss
from speechseq.models.tacotron import tacotron1, tacotron2_small
from speechseq.nn.attention.content import ContentConfig
from speechseq.nn.attention.diagnostics import focus
from speechseq.nn.attention_rnn import AttentionRNN
from speechseq.nn.cbhg import CBHG
from speechseq.nn.cells import SplitLSTM
from speechseq.nn.masks import length_mask, reverse_within
from speechseq.nn.normalization import UtteranceNormConfig
from speechseq.nn.pyramid import PyramidBiLSTM
from speechseq.nn.recurrent import BiGRU, BiLSTM
from speechseq.shapes import Encoded

torch.manual_seed(0)
audio = AudioConfig(n_fft=64, window=64, hop=16, mels=8)
voice = tacotron2_small().build(symbols=20, mels=8).eval()
old = tacotron1().encoder.build(20).eval()
ears = las_small().build(symbols=20, features=8).eval()
x, tokens = torch.randn(2, 9, 8), torch.randint(4, 20, (2, 9))
waves, spectra = torch.randn(2, 900), torch.rand(2, 9, 33)
parts = {
    "BiLSTM": BiLSTM(8, 4),
    "BiGRU": BiGRU(8, 4),
    "CBHG": CBHG(8, 3, 8, (8, 8), 1, 4),
    "PyramidBiLSTM": PyramidBiLSTM(8, 4, 1),
    "norm": UtteranceNormConfig().build(8),
    "listener": ears.listener,
}


def drawn():
    return torch.Generator().manual_seed(0)


def first(output):
    return output if isinstance(output, torch.Tensor) else output[0]


DOORS = {
    "generate": lambda n: voice.generate(tokens, n, seed=0, max_steps=5).mel_after,
    "forward": lambda n: (
        voice(TTSBatch(tokens=tokens, token_lengths=n, mel=x, frame_lengths=n)).mel_after
    ),
    "recogniser": lambda n: (
        ears(ASRBatch(features=x, feature_lengths=n, tokens=tokens, token_lengths=n)).log_probs
    ),
    "recognise": lambda n: torch.tensor(
        [found[0].log_prob for found in recognise(ears, x, n, Greedy())]
    ),
    "encoder": lambda n: voice.encoder(tokens, n).memory,
    "CBHG encoder": lambda n: old(tokens, n).memory,
    "length_mask": lambda n: length_mask(n, 9),
    "reverse_within": lambda n: reverse_within(x, n),
    "griffin_lim": lambda n: griffin_lim(spectra, audio, iterations=2, seed=0, frame_lengths=n),
    "log_mel": lambda n: log_mel(waves, audio, n * 100),
    "spec_augment": lambda n: spec_augment(x, n, SpecAugmentPolicy(), drawn()),
    "add_deltas": lambda n: add_deltas(x, n, 2),
    "stop_loss": lambda n: stop_loss(x[..., 0], n),
    "guide": lambda n: guided_attention_loss(torch.rand(2, 9, 9), n, n, 0.4) * 0,
    "focus": lambda n: focus(x.softmax(2), n),
    **{name: lambda n, part=part: first(part(x, n)) for name, part in parts.items()},
}
right = torch.tensor([9, 7])
WRONG = {
    "float": right.float(),
    "bool": right > 8,
    "complex": right.cfloat(),
    "a list": [9, 7],
    "too long": torch.tensor([9, 1 << 40]),
    "negative": torch.tensor([9, -1]),
    "a number": torch.tensor(9),
    "two dimensions": right[:, None],
}

said = []
for name, door in DOORS.items():
    if name == "log_mel":
        WRONG["negative"], WRONG["too long"] = torch.tensor([9, -1]), torch.tensor([9, 10])
    wanted = door(right)
    for kind in (torch.int32, torch.int16, torch.uint8):
        if name == "log_mel" and kind == torch.uint8:
            continue  # 900 samples do not fit
        if not torch.equal(door(right.to(kind)), wanted):
            said.append(f"{name}: {kind} is not int64")
    for kind, lengths in {**WRONG, "three rows": torch.tensor([9, 7, 3])}.items():
        if (name, kind) in (("log_mel", "a list"), ("length_mask", "three rows")):
            continue  # 100 times a list is another list; a mask knows no rows but its lengths
        try:
            door(lengths)
            said.append(f"{name}: {kind} was taken")
        except (ConfigError, DataError) as error:
            if not error.cure:
                said.append(f"{name}: {kind} has no cure")
        except Exception as error:
            said.append(f"{name}: {kind}: {type(error).__name__}: {error}")
for name in ("generate", "encoder", "CBHG encoder"):
    for wrong in (tokens + 20, tokens - 20, tokens.float(), tokens[0]):
        kept, tokens = tokens, wrong
        try:
            DOORS[name](right)
            said.append(f"{name}: wrong tokens were taken")
        except (ConfigError, DataError):
            pass
        tokens = kept

memory, mask = torch.randn(2, 9, voice.encoder.memory_dim), torch.ones(2, 9, dtype=torch.bool)
core = AttentionRNN(SplitLSTM(8, 8, 6), ContentConfig(dim=7).build(6, 8))


def fed_free(memory, lengths, limits):
    with torch.no_grad():
        return free_run(voice.decoder, Encoded(memory, lengths), limits, None)


limits = torch.tensor([3, 2])
wanted = fed_free(memory, right, limits).mel
if not torch.equal(fed_free(memory, right.int(), limits.short()).mel, wanted):
    said.append("free_run: int32 is not int64")
ids = {name: tokens + other for name, other in (("too high", 20), ("too low", -20))}
REFUSED = {
    "a memory of another width": lambda: fed_free(memory[..., 1:], right, limits),
    "a memory of integers": lambda: fed_free(memory.long(), right, limits),
    "lengths beyond the memory": lambda: fed_free(memory, right + 1, limits),
    "float limits": lambda: fed_free(memory, right, limits.float()),
    "limits of 0": lambda: fed_free(memory, right, limits * 0),
    "limits of three": lambda: fed_free(memory, right, torch.tensor([3, 2, 1])),
    "a decoder's memory": lambda: voice.decoder.start(memory[..., :3], mask),
    "a decoder's mask": lambda: voice.decoder.start(memory, mask[:, :3]),
    "a speller's memory": lambda: ears.speller(tokens, memory[..., :3], mask),
    "a loop's memory": lambda: core(x, torch.randn(2, 5, 9), mask[:, :5]),
    "a loop's mask": lambda: core(x, torch.randn(2, 5, 8), mask[:, :5].float()),
    "a loop's inputs": lambda: core(x[:1], torch.randn(2, 5, 8), mask[:, :5]),
    **{
        f"a recogniser's ids, {name}": lambda own=own: ears(
            ASRBatch(features=x, feature_lengths=right, tokens=own, token_lengths=right)
        )
        for name, own in ids.items()
    },
    **{
        f"a language model's ids, {name}": lambda own=own: LanguageModelConfig().build(20)(
            TextBatch(tokens=own, token_lengths=right)
        )
        for name, own in ids.items()
    },
}
for name, door in REFUSED.items():
    try:
        door()
        said.append(f"{name} was taken")
    except (ConfigError, DataError):
        pass
    except Exception as error:
        said.append(f"{name}: {type(error).__name__}: {error}")
print("\n".join(said))
