"""The counted work is what torch multiplies; points, limits and their picture hold together."""

import pytest
import torch
from growth import judged, line, plain
from growth_picture import picture
from growth_points import Found, Point, points, run, sized
from growth_work import Shape, Work, free_running, teacher_forced
from roofline import Roof, measure, measure_accelerator
from torch.utils.flop_counter import FlopCounterMode
from torchaudio.models import Tacotron2

from speechseq.models.tacotron import Tacotron, tacotron2

ROOF = Roof({"float32": 100.0, "bf16": 400.0, "int8": 400.0}, {1: 50.0, 4: 20.0, 16: 30.0})


def small(reduction_factor: int) -> Tacotron:
    return sized(0.125, reduction_factor).build(symbols=20, mels=16).eval()


@pytest.mark.filterwarnings("ignore:TF32 acceleration")
def test_the_work_of_an_update_is_three_times_what_torchaudio_s_forward_multiplies():
    """The same architecture by other hands, without kernels, whose products torch can count."""
    lengths, mel = torch.full((2,), 40), torch.randn(2, 80, 6)
    tokens = torch.randint(1, 148, (2, 40))
    # oneDNN's LSTM is one operation that the counter does not know
    with torch.backends.mkldnn.flags(enabled=False), FlopCounterMode(display=False) as counter:
        Tacotron2()(tokens, lengths, mel, torch.full((2,), 6))
    model = tacotron2().build(symbols=148, mels=80)
    counted = teacher_forced(model, Shape(2, 40, 6, 1), "float32").flops / 3
    assert counted == pytest.approx(counter.get_total_flops(), rel=0.01)


def test_fewer_steps_need_less_but_the_postnet_s_work_stays():
    model = small(1)
    one, four = (teacher_forced(model, Shape(2, 7, 12 // r, r), "float32") for r in (1, 4))
    postnet = sum(p.numel() for p in model.postnet.parameters() if p.dim() > 1)
    assert one.flops > four.flops > 6 * 2 * 12 * postnet
    assert (one.passes, four.passes) == (24, 6)


def test_a_speaking_step_reads_the_decoder_s_weights_and_what_attention_reads():
    model, shape = small(1), Shape(3, 7, 11, 1)
    weights = sum(p.numel() for p in model.decoder.parameters() if p.dim() > 1)
    keys = model.decoder.core.attention.key.weight
    read = weights - keys.numel() + 3 * 7 * (keys.shape[0] + keys.shape[1])
    work = free_running(model, shape, "float32")
    assert (work.bytes_a_pass, work.passes) == (4 * read, 11)
    assert free_running(model, shape, "bf16").bytes_a_pass < work.bytes_a_pass


def test_the_limit_is_the_slower_of_products_and_reading():
    assert ROOF.seconds(Work(1000.0, 1.0, 1), "float32") == 10
    assert ROOF.seconds(Work(1000.0, 1.0, 1), "bf16") == 2.5
    assert ROOF.seconds(Work(0.0, 2**20, 5), "float32") == pytest.approx(5 * 2**20 / 50)


def test_a_small_buffer_is_read_no_slower_than_a_large_one():
    """A busy moment in the measurement of 4 MB must not raise the limit above 16 MB's."""
    four = ROOF.seconds(Work(0.0, 4 * 2**20, 1), "float32")
    assert four == pytest.approx(4 * 2**20 / 30)
    assert ROOF.seconds(Work(0.0, 64 * 2**20, 1), "float32") == pytest.approx(64 * 2**20 / 30)


def test_the_better_of_two_looks_at_the_roof_counts():
    busy = Roof({"float32": 90.0, "bf16": 500.0, "int8": 1.0}, {1: 60.0, 4: 10.0, 16: 30.0})
    best = ROOF.or_better(busy)
    assert best.flops == {"float32": 100.0, "bf16": 500.0, "int8": 400.0}
    assert best.reads == {1: 60.0, 4: 20.0, 16: 30.0}


def test_the_roof_of_this_machine_is_measured():
    roof = measure(1, seconds=0.001, side=128)
    assert all(rate > 1e8 for rate in [*roof.flops.values(), *roof.reads.values()])


def test_the_roof_of_an_accelerator_is_measured():
    roof = measure_accelerator(torch.device("cpu"), seconds=0.001, side=64, megabytes=(1, 2))
    assert set(roof.reads) == {1, 2}
    assert all(rate > 1e6 for rate in [*roof.flops.values(), *roof.reads.values()])


@pytest.mark.parametrize("quick", [True, False])
def test_every_axis_has_points_that_differ_in_it_alone(quick: bool):
    lines: dict[tuple, list[Point]] = {}
    for point in points(quick, threads=2):
        lines.setdefault((point.work, point.axis, point.precision), []).append(point)
    assert {axis for _, axis, _ in lines} == {
        "batch", "frames", "reduction_factor", "width", "threads"
    }  # fmt: skip
    for (_, axis, _), line_ in lines.items():
        values = [point.value for point in line_]
        assert len(set(values)) == len(values)
        others = [{k: v for k, v in vars(p).items() if k != axis} for p in line_]
        assert all(other == others[0] for other in others)


@pytest.mark.parametrize("work", ["train", "speak"])
def test_a_point_runs_and_draws(work: str):
    point = Point(axis="batch", work=work, batch=2, frames=3, tokens=4, width=0.125, threads=1)
    ran = run(point)
    assert ran.items == (1 if work == "train" else 3)
    assert min(ran.seconds) > 0
    found = [
        judged(point, ran, ROOF),
        Found(Point(axis="batch", work=work, batch=4), 2.0, 1.0, 1.0),
    ]
    assert "50%" in line(found[1])
    assert plain({}, {1: ROOF}, found)["points"][1]["share"] == 0.5
    assert picture(found).startswith(b"\x89PNG")
