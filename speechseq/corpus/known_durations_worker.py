"""Process in which espeak speaks texts with their events: a plan on stdin, one JSON line each out.

espeak's output depends on everything that its process has said before, so each text is spoken by a
fork of a process that has said nothing. Run by `speechseq.corpus.known_durations`, not by hand.
"""

import base64
import json
import os
import sys
from typing import Any

from speechseq.corpus.espeak_worker import speaker
from speechseq.text.espeak_library import report_phonemes


def main() -> None:
    """Speak utterances by espeak, in a process of its own; see `known_durations.speak_all`.

    The plan comes from stdin: JSON with the key "utterances". For each utterance a line of JSON
    goes to stdout, with the keys "samples" and "events".
    """
    plan = json.load(sys.stdin)
    report_phonemes()
    say = speaker()
    for utterance in plan["utterances"]:
        child = os.fork()
        if not child:
            _write(*say(utterance))
            os._exit(0)
        if status := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
            sys.exit(f"{utterance['id']}: espeak ended with {status}")


def _write(samples: Any, events: Any) -> None:
    encoded = base64.b64encode(samples.tobytes()).decode()
    sys.stdout.write(json.dumps({"samples": encoded, "events": events}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
