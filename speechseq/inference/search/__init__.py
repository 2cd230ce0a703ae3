"""Search of transcripts for encoded utterances: greedy and beam search, and their score."""
