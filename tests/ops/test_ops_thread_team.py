"""Threads that share the tasks of phases: each task once, in its phase, whoever sleeps."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from speechseq.ops.cpp import compiler, library

SOURCE = """
#include <chrono>
#include <thread>

#include "thread_team.h"

// Waits for what another thread does; gives up after 20 seconds.
template <typename Happened>
bool await(Happened happened) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!happened()) {
        if (std::chrono::steady_clock::now() > end) return false;
        std::this_thread::yield();
    }
    return true;
}

// A task of a phase adds up all that the phase before left, and its own number. counts (phases),
// made (phases, most). Now and then a thread lets others go first.
extern "C" void chain(const int64_t *counts, int64_t *made, int64_t phases, int64_t most,
                      int64_t there, int64_t threads) {
    Team team(threads);
#pragma omp parallel num_threads(there)
    {
        Member member{team};
        for (int64_t phase = 0; phase < phases; ++phase) {
            if ((phase + member.own) % 17 == 0) std::this_thread::yield();
            member.share_out(counts[phase], [&](int64_t task) {
                int64_t sum = task + 1;
                for (int64_t i = 0; phase && i < counts[phase - 1]; ++i)
                    sum += made[(phase - 1) * most + i] % 1009;
                made[phase * most + task] += sum;
            });
        }
    }
}

// The second of two threads comes when the first has done everything.
extern "C" void come_late(int64_t *done, int64_t phases, int64_t count, int64_t) {
    Team team(2);
    std::atomic<bool> ended{false};
#pragma omp parallel num_threads(2)
    {
        Member member{team};
        if (member.own) await([&] { return ended.load(); });
        for (int64_t phase = 0; phase < phases; ++phase)
            member.share_out(count, [&](int64_t) { done[member.own]++; });
        ended = true;
    }
}

// In the first phase the second of two threads begins a task and sleeps until all others are done,
// in the second phase the first does.
extern "C" void sleep_on_a_task(int64_t *done, int64_t count, int64_t) {
    Team team(2);
    std::atomic<int64_t> ended{0}, asleep{0};
#pragma omp parallel num_threads(2)
    {
        Member member{team};
        for (int64_t sleeper = 1; sleeper >= 0; --sleeper) {
            const int64_t before = (1 - sleeper) * count;
            bool slept = false;
            member.share_out(count, [&](int64_t) {
                if (member.own != sleeper)
                    await([&] { return asleep == 2 - sleeper; });
                else if (!slept) {
                    slept = true, ++asleep;
                    done[sleeper] += await([&] { return ended == before + count - 1; });
                }
                ++ended;
            });
        }
    }
}

// Which thread does which task of each phase, when all have begun one before any goes on.
extern "C" void owners(int64_t *whose, int64_t phases, int64_t count, int64_t threads) {
    Team team(threads);
    std::atomic<int64_t> begun{0};
#pragma omp parallel num_threads(threads)
    {
        Member member{team};
        for (int64_t phase = 0; phase < phases; ++phase) {
            bool first = true;
            member.share_out(count, [&](int64_t task) {
                whose[phase * count + task] = member.own;
                if (!first) return;
                first = false, ++begun;
                await([&] { return begun >= (phase + 1) * threads; });
            });
        }
    }
}
"""
pytestmark = pytest.mark.skipif(
    compiler.compiler() is None, reason="this machine has no C++ compiler"
)


@pytest.fixture(scope="module")
def phases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., None]]:
    """Calls a function of the source above, compiled with the header."""
    folder = tmp_path_factory.mktemp("native")
    (folder / "phases.cpp").write_text(SOURCE)
    (folder / "thread_team.h").write_text((library._HERE / "thread_team.h").read_text())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "_HERE", Path(folder))
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.delenv("SPEECHSEQ_NATIVE", raising=False)
        library.library.cache_clear()
        assert library.library("phases") is not None
        yield lambda name, *arguments: library.call("phases", name, *arguments)
    library.library.cache_clear()


def serial(counts: list[int], most: int) -> torch.Tensor:
    """Compute the result of `chain` phase by phase."""
    output, before = torch.zeros(len(counts), most, dtype=torch.int64), 0
    for phase, count in enumerate(counts):
        output[phase, :count] = torch.arange(1, count + 1) + before
        before = int((output[phase, :count] % 1009).sum())
    return output


@pytest.mark.parametrize("threads", [1, 2, 3, 5])
@pytest.mark.parametrize("most", [0, 1, 2, 7, 64, 3000])
def test_each_task_is_done_once_and_sees_all_of_the_phase_before(phases, threads, most):
    torch.manual_seed(most)
    counts = torch.randint(0, most + 1, (40 if most > 64 else 2000,))
    output = torch.zeros(len(counts), most, dtype=torch.int64)
    torch.set_num_threads(threads)
    phases("chain", counts, output, len(counts), most, threads)
    assert torch.equal(output, serial(counts.tolist(), most))


def test_a_machine_that_grants_fewer_threads_leaves_no_task_undone(phases):
    counts, output = torch.tensor([5, 0, 700, 3]), torch.zeros(4, 700, dtype=torch.int64)
    torch.set_num_threads(5)
    phases("chain", counts, output, 4, 700, 2)
    assert torch.equal(output, serial(counts.tolist(), 700))


@pytest.mark.parametrize("count", [1, 2, 33, 1000])
def test_a_thread_that_sleeps_between_tasks_holds_nobody_up(phases, count):
    done = torch.zeros(2, dtype=torch.int64)
    phases("come_late", done, 500, count)
    assert done.tolist() == [500 * count, 0]


@pytest.mark.parametrize("count", [2, 3, 64])
def test_a_thread_that_sleeps_over_a_task_is_helped_with_the_others(phases, count):
    done = torch.zeros(2, dtype=torch.int64)
    phases("sleep_on_a_task", done, count)
    assert done.tolist() == [1, 1]


def test_a_thread_begins_with_its_own_part_at_every_phase(phases):
    threads, count = 3, 10
    torch.set_num_threads(threads)
    whose = torch.full((50, count), -1)
    phases("owners", whose, len(whose), count)
    first = [count * thread // threads for thread in range(threads)]
    assert (whose[:, first] == torch.arange(threads)).all()
