"""Management commands of the uploads."""
