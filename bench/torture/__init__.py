"""The torture of consistency: clients, faults, and a judge. See docs/torture.md."""
