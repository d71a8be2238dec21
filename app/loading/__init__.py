"""Loading CSV files: commands, reader, columns, upsert."""
