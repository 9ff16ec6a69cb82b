"""Every figure of the Moondream engine on a GPU, by one command: `python -m benchmarks.gpu`.

Needs torch, NumPy, OpenCV, Pillow, safetensors, tokenizers, huggingface_hub and httpx, and nothing
else of what the project needs elsewhere.
"""
