"""How the service does: space, uploads in flight, throughput, now and over the last day."""
