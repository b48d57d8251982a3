"""Schema changes of the monitoring."""
