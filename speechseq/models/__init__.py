"""Models: Tacotron, Listen Attend and Spell, language models, their parts and losses."""
