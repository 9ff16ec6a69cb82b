"""The sink `mqtt` at work: its connection, its topics, and what Home Assistant is told of them."""
