"""What the commands do: their flags, the folder of a run, training, evaluation, what is printed.

`settings`, `presets`, `runs` and `cli` do not import Keras, so that `--help` and errors come at
once; the others do.
"""
