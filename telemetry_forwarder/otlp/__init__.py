"""Records of Lambda in, OTLP messages out; no I/O."""
