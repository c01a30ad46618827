"""Records in, encoded OTLP requests out."""
