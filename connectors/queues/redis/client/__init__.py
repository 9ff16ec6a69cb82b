"""How Redis is reached: its address, connections that heal, and the scripts it runs."""
