"""From an encoded utterance to transcripts: greedy and beam search, and their one score."""
