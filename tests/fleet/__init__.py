"""Simulates ten thousand environments that share one collector.

`python -m tests.fleet` prints a table and draws a plot.

The flush policy, exporters, circuit breakers, retries, outbox, spool and ledger are those of the product. The clock,
the network, the senders' threads and Lambda are simulated.
"""
