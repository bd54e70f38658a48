"""Encoders of pictures and sound in front of the decoder: the late-fusion baseline."""
