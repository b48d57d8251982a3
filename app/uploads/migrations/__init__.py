"""Schema changes of the uploads."""
