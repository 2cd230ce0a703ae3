"""Search for transcripts of encoded utterances: greedy and beam search, and their score."""
