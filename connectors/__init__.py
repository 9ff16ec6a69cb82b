"""The parts of moonwatch that touch the world: cameras, queues, stores and sinks."""
