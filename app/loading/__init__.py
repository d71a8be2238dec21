"""Loading CSV files into tables: commands, reader, columns, upsert."""
