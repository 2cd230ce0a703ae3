"""Signal processing: sound files, log-mels, augmentation and Griffin-Lim."""
