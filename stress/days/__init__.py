"""Any sequence of fetches, failures, kills, wrong clocks and damage, on one dataset."""
