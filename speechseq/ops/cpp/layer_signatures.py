"""Signatures of the C++ kernels of layers and spectra (see `signature`)."""

from speechseq.ops.cpp.signature import Signature

NUMBERS = {"float32": "f32", "bfloat16": "bf16"}
REALS = {"float32": "f32", "float64": "f64"}

# Concatenated utterances, the longest first, each within the frames
_SEQUENCES = """
    starts: i64[batch], lengths: i64[batch], drawn: u8[frames, directions * size] | None,
    batch: int >= 1, size: int >= 1, directions: 1 <= int <= 2, scale: float, zoneout: float
"""
_INSIDE = "inside(starts, lengths, frames)"
_WINDOWS = """
    lengths: i64[utterances], utterances: int >= 1, channels: int >= 1, kernel: int >= 1,
    left: 0 <= int < kernel, outputs: int >= 1
"""
_ALL_ROWS = "within(lengths, 0, rows) and int(lengths.sum()) == rows"
_NORM = "rows: int >= 1, channels: int >= 1, activation: 0 <= int <= 2, last: 0 <= int <= 1"
_FRAMES = """
    samples: int >= 1, count: int >= 1, hop: 1 <= int <= 65536, first: int >= 0,
    window: 1 <= int <= n_fft, n_fft: 8 <= int <= 16777216
"""
_TRANSFORMED = (
    "n_fft & (n_fft - 1) == 0 and count <= room and room % 16 == 0",
    "first + window + hop * (count - 1) <= samples",
)

GEMM = {
    "gemm_is_faster": Signature("answer: i64[1]"),
    "gemm_forward": Signature(
        """x: f32[rows, inputs], weight: f32[outputs, inputs], bias: f32[outputs] | None,
        y: f32[rows, outputs], rows: int >= 1, inputs: int >= 1, outputs: int >= 1"""
    ),
    "gemm_backward": Signature(
        """gradient: f32[rows, outputs], weight: f32[outputs, inputs], grad_x: f32[rows, inputs],
        rows: int >= 1, inputs: int >= 1, outputs: int >= 1"""
    ),
    "gemm_weight": Signature(
        """gradient: f32[rows:wide, outputs], x: f32[rows:broad, inputs],
        weight: f32[outputs, inputs], rows: int >= 1, wide: int >= 0, broad: int >= 0,
        outputs: int >= 1, inputs: int >= 1"""
    ),
    "convolve": Signature(
        f"""x: f32[rows, channels], weight: f32[outputs, kernel, channels],
        bias: f32[outputs] | None, y: f32[rows, outputs], {_WINDOWS}""",
        _ALL_ROWS,
    ),
    "convolve_weight": Signature(
        f"""gradient: f32[rows, outputs], x: f32[rows, channels],
        weight: f32[outputs, kernel, channels], {_WINDOWS}""",
        _ALL_ROWS,
    ),
}

POINTWISE = {
    "norm_forward": Signature(
        f"""x: f32[rows, channels], weight: f32[channels], bias: f32[channels],
        kept: b8[rows, channels] | None, mean: f32[channels], variance: f32[channels],
        inverse: f32[channels], y: f32[rows, channels], {_NORM}, multiplier: float, eps: float"""
    ),
    "norm_backward": Signature(
        f"""grad_y: f32[rows, channels], x: f32[rows, channels], weight: f32[channels],
        bias: f32[channels], kept: b8[rows, channels] | None, mean: f32[channels],
        inverse: f32[channels], grad_x: f32[rows, channels], grad_weight: f32[channels],
        grad_bias: f32[channels], {_NORM}, multiplier: float"""
    ),
    "pool_forward": Signature(
        """x: f32[rows, channels], followed: b8[rows], y: f32[rows, channels],
        rows: int >= 1, channels: int >= 1""",
        "not bool(followed[-1])",
    ),
    "pool_backward": Signature(
        """grad_y: f32[rows, channels], x: f32[rows, channels], followed: b8[rows],
        grad_x: f32[rows, channels], rows: int >= 1, channels: int >= 1""",
        "not bool(followed[-1])",
    ),
    "highway_forward": Signature(
        "x: f32[size], fresh: f32[size], gate: f32[size], y: f32[size], size: int"
    ),
    "highway_backward": Signature(
        """grad_y: f32[size], x: f32[size], fresh: f32[size], gate: f32[size], grad_x: f32[size],
        grad_fresh: f32[size], grad_gate: f32[size], size: int"""
    ),
}


def _lstm(number: str) -> dict[str, Signature]:
    weights = f"weights: {number}[directions, 4 * size, size]"
    gates, states = "[frames, directions * 4 * size]", "[frames, directions * size]"
    return {
        "forward": Signature(
            f"gates: {number}{gates}, {weights}, hidden: {number}{states}, cells: f32{states},"
            + _SEQUENCES,
            _INSIDE,
        ),
        "backward": Signature(
            f"gates: {number}{gates}, {weights}, cells: f32{states}, grad_hidden: {number}{states},"
            f"grad_gates: {number}{gates}," + _SEQUENCES,
            _INSIDE,
        ),
    }


def _gru(number: str) -> dict[str, Signature]:
    weights = f"weights: {number}[directions, 3 * size, size]"
    gates = f"{number}[frames, directions * 3 * size]"
    states = f"{number}[frames, directions * size]"
    return {
        "forward": Signature(
            f"gates: {gates}, {weights}, bias: {number}[directions, 3 * size], hidden: {states},"
            f"new_products: {states}," + _SEQUENCES,
            _INSIDE,
        ),
        "backward": Signature(
            f"gates: {gates}, {weights}, hidden: {states}, new_products: {states},"
            f"grad_hidden: {states}, grad_gates: {gates}, grad_products: {gates}," + _SEQUENCES,
            _INSIDE,
        ),
    }


LSTM = {f"lstm_{way}_{n}": s for n, t in NUMBERS.items() for way, s in _lstm(t).items()}
GRU = {f"gru_{way}_{n}": s for n, t in NUMBERS.items() for way, s in _gru(t).items()}


def _spectra(real: str) -> dict[str, Signature]:
    return {
        "magnitudes": Signature(
            f"""signal: {real}[1, samples], {_FRAMES}, weights: f64[window], turns: f64[n_fft, 2],
            bins: int >= 1, epsilon: f64[1], out: {real}[bins, room], room: int >= 16""",
            *_TRANSFORMED,
        ),
        "project": Signature(
            f"""signal: {real}[1, samples], {_FRAMES}, weights: {real}[window],
            turns: {real}[n_fft, 2], target: {real}[n_fft // 2 + 1, room], room: int >= 16,
            sums: {real}[1, samples]""",
            *_TRANSFORMED,
        ),
    }


STFT = {f"{what}_{n}": s for n, t in REALS.items() for what, s in _spectra(t).items()}
