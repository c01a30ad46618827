"""The worker thread: wires all parts together and runs the loop."""
