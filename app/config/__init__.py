"""Settings, addresses and server configuration of the application."""
