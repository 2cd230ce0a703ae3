"""Signal handling in the workers of a DataLoader: only their parent process ends them."""

import os
import signal
import threading


def heed_parent_alone(worker: int) -> None:
    """Ignore signals that others send to the whole process group; a DataLoader's worker_init_fn.

    Ctrl-C, `timeout` and job managers signal workers and trainer alike; a worker that died of it
    would take the update with it that the trainer is about to finish and save.
    """
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    # SIGTERM is how torch ends a worker that does not answer: it is blocked, to see who sends it
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_await_parent, args=(os.getppid(),), daemon=True).start()


def _await_parent(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)
