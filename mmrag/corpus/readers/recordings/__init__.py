"""Read transcripts, and what audio and video files say of themselves."""
