"""Renders moving solids from several cameras and writes TFRecords (NumPy only).

From the command line: `python -m data_gen --output_dir=DIR`; from Python:
`data_gen.generate.generate(data_gen.scenes.options.DatasetOptions(output_dir=DIR))`.
Conventions of the world and of the cameras: see `data_gen.rendering.cameras`.
"""
