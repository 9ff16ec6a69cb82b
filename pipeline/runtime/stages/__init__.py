"""The stages of a deployment, each with the same few handles, alone in a process or all in one."""
