// A team of threads that share the tasks of a kernel's phases.
//
// A thread begins with its own part of a phase, the same at every step, so that what it reads stays
// in its cache; then it helps with what the others have not begun. One that the machine puts to
// sleep holds them up by the tasks in its hands alone, finds the phases that passed meanwhile done,
// and walks on. Who computed a number never shows in it: a task is one thread's, in one order.
#pragma once

#include <omp.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

namespace {

// The part of `count` things that is one thread's: from first to last, without the last.
struct Share {
    int64_t first, last;
};

inline Share share(int64_t count, int64_t thread, int64_t threads) {
    return {count * thread / threads, count * (thread + 1) / threads};
}

// What is left of a thread's part in a phase: lots first to last, without the last.
struct alignas(8) Left {
    uint32_t phase;
    uint16_t first, last;
};

// What the threads of a parallel region have in common. Nothing is ever set back, so that who comes
// late takes nothing old for new: parts know their phase, and `done` counts all phases' tasks.
struct Team {
    struct alignas(64) Part {
        std::atomic<Left> left{Left{}};
    };

    std::vector<Part> parts;
    alignas(64) std::atomic<int64_t> done{0};

    explicit Team(int64_t threads) : parts(threads) {}
};

// One thread of a team. All of them walk through the same phases, the sizes of which they know from
// what stays; what a phase reads is written by phases before it.
struct Member {
    Team &team;
    const int64_t threads = int64_t(team.parts.size()), own = omp_get_thread_num();
    uint32_t phase = 0;
    int64_t behind = 0;  // the tasks of all phases up to this one

    // Runs those tasks of the next phase that no other thread takes, and waits for all of them.
    template <typename Task>
    void share_out(int64_t count, Task task) {
        constexpr int64_t lots_each = 64;  // or up to twice as many: many tiny tasks are one lot
        const int64_t some = std::max<int64_t>(1, count / (lots_each * threads));
        const int64_t lots = (count + some - 1) / some;
        int64_t made = 0;
        ++phase;
        behind += count;
        for (int64_t i = 0; i < threads; ++i) {
            const int64_t whose = (own + i) % threads;
            const Share part = share(lots, whose, threads);
            for (int64_t lot; (lot = take(whose, part)) >= 0;)
                made += run(task, lot * some, std::min((lot + 1) * some, count));
        }
        if (made) team.done.fetch_add(made, std::memory_order_release);
        wait();
    }

private:
    // Compiled apart from the taking: in one function with it, tasks would have too few registers.
    template <typename Task>
    __attribute__((noinline)) static int64_t run(Task &task, int64_t first, int64_t last) {
        for (int64_t at = first; at < last; ++at) task(at);
        return last - first;
    }

    // A lot of a thread's part that nobody has taken, or -1: the first for its owner, for a helper
    // the last, which the owner comes to last.
    int64_t take(int64_t whose, Share part) {
        std::atomic<Left> &left = team.parts[whose].left;
        Left seen = left.load(std::memory_order_relaxed), rest;
        int64_t lot;
        do {
            rest = seen;
            if (seen.phase < phase) rest = {phase, 0, uint16_t(part.last - part.first)};
            if (rest.phase != phase || rest.first == rest.last) return -1;
            lot = part.first + (whose == own ? rest.first++ : --rest.last);
        } while (!left.compare_exchange_weak(seen, rest, std::memory_order_relaxed));
        return lot;
    }

    void wait() {
        for (int64_t looks = 0; team.done.load(std::memory_order_acquire) < behind; ++looks)
            if (looks > 4000) sched_yield();  // the core may be wanted by who holds a task
    }
};

}  // namespace
