"""The mutation fuzzer, bounded; SPEECHSEQ_MUTATIONS=2000 tries more (about five minutes)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.slow
def test_no_mutated_file_or_flag_ends_in_a_traceback_or_fills_the_machine() -> None:
    count = os.environ.get("SPEECHSEQ_MUTATIONS", "120")
    paths = [str(HERE.parent), str(HERE), str(HERE / "training")]
    done = subprocess.run(
        [sys.executable, str(HERE / "mutations.py"), count],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["cases"] == int(count)
    assert found["faults"] == []
    assert 0.4 < found["refused"] / found["cases"] < 0.99, "mutations reach their goal"
