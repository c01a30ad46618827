"""How the layer is made: one module per step, put in order by `layer/build.py`."""
