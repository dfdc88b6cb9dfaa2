"""The page that shows the ledger."""
