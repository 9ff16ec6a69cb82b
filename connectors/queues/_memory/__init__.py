"""The parts of the queue in memory: results, pictures for events, and how much is held."""
