"""Uploads: what nginx received, who owns it, and where it lies on disk."""
