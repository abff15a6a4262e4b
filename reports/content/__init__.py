"""What a report says: verdicts, tables and notes, as data."""
