"""Event files of scalars for tensorboard."""

import io
import os
import secrets
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from speechseq.file_writing import cannot_write
from speechseq.training.appended_file import AppendedFile


class EventFile:
    """Event file for tensorboard, written without a thread, so that no error goes unnoticed.

    Each instance begins a new file in the folder. Call `write` for each update and `close` at the
    end.

    Args:
        folder: folder of the file; it is created if missing.
        update: last update of the run so far; tensorboard then ignores the values of later updates
            in older files of the folder.

    Raises:
        MachineError: the file cannot be created.
    """

    def __init__(self, folder: Path, update: int) -> None:
        from tensorboard.compat.proto import event_pb2, summary_pb2  # slow to import

        self._event, self._summary = event_pb2.Event, summary_pb2.Summary
        started = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        # the random part distinguishes two files of the same second
        name = f"{int(time.time())}.{socket.gethostname()}.{os.getpid()}.{secrets.token_hex(3)}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(folder, error) from None
        self._file = AppendedFile(folder / f"events.out.tfevents.{name}")
        self._append(self._event(file_version="brain.Event:2"))
        self._append(self._event(step=update + 1, session_log=started))

    def write(self, update: int, values: Mapping[str, float]) -> None:
        """Append the scalar values of one update to the file, by name."""
        value = self._summary.Value
        rows = [value(tag=name, simple_value=number) for name, number in values.items()]
        self._append(self._event(step=update, summary=self._summary(value=rows)))

    def close(self) -> None:
        """Write the pending records and close the file.

        Raises:
            MachineError: the disk is still full.
        """
        self._file.close()

    def _append(self, event: Any) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        event.wall_time = time.time()
        record = io.BytesIO()
        RecordWriter(record).write(event.SerializeToString())
        self._file.write(record.getvalue())
