"""Management commands of the monitoring."""
