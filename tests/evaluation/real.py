"""What the fixtures of real media hold."""

from __future__ import annotations

from omni.sequence import Audio, Image

Pictures = tuple[list[Image], list[str]]
"""Pictures of digits, and what they show."""
Clips = tuple[list[Audio], list[str]]
"""Clips of digit words, and what they say."""
