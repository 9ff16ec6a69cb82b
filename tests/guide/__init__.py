"""From a first file to counts that can be trusted, in small steps that build on each other.

Every piece of code on this page is a test of moonwatch and passes. `moonwatch("run shop.yaml")` is
what `moonwatch run shop.yaml` is in a shell: it returns what the command printed, and the test
fails if the command does. The folder it runs in holds `plaza.mp4`, twelve seconds of people
crossing a plaza, and `file(name, text)` writes another file there.
"""
