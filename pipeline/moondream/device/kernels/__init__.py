"""Kernels written by hand for CUDA, in Triton, for what plain operations do in many small steps.

Each has a plain version that stays in use where it cannot run. Modules that import Triton are
imported by `load` alone, after it has found that the library is there.
"""
