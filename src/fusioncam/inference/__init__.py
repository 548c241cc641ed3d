"""Call networks: forward passes, hooks, batching, caching, pass counting."""
