"""Moondream 2 on torch: every skill, batched.

Knows no camera, queue or config file, and imports nothing else of this project. Tensor names end
in the letters of their shape: N crops or segments or blocks, P pictures or pages, S positions of
a picture (patches or prefix), T tokens of any prompts, B rows of the batch, R prompts, J longest
prompt, M queries or blocks of a row, Q lanes of a page, L keys, C text width, E encoder width,
H heads, K key heads or bins, G query heads of a key head, D head width, V vocabulary, F fields.
"""
