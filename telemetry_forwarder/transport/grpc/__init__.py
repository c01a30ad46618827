"""OTLP/gRPC: calls as requests over HTTP/2, on the same sockets, proxies and TLS contexts as HTTP."""
