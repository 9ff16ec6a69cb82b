"""The stages of a deployment, all with one interface, each in its own process or all in one."""
