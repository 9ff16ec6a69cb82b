"""What cameras have in common that go on without us: reading ahead, reconnecting, HTTP."""
