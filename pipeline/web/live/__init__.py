"""The live wall: pictures and what was made of them, for those who look at them now."""
