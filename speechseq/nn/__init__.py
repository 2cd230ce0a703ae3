"""Reference modules (masks, convolutions, recurrent layers, attention), each usable alone."""
