"""A page that shows what the ledger holds: money, calls, latency, limits. Needs the extra `dashboard`."""
