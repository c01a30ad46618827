"""The steps of building the layer, one module each; `layer/build.py` runs them."""
