"""Signal handling in the workers of a DataLoader, which only their parent process may end."""

import os
import signal
import threading


def heed_parent_alone(worker: int) -> None:
    """Make a DataLoader's worker ignore signals that are meant for the training process.

    Pass it as worker_init_fn. Ctrl-C, `timeout` and job managers signal the whole process group; if
    a worker died, the update that the trainer is about to finish and save would be lost. Only a
    signal from the parent process ends the worker. `worker`, its number, is not used.
    """
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    # torch ends a worker that does not answer by SIGTERM: it is blocked, to see its sender
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_await_parent, args=(os.getppid(),), daemon=True).start()


def _await_parent(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)
