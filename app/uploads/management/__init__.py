"""Commands of the uploads, for people and timers."""
