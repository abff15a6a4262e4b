"""Every column of every table: name, dtype, unit, direction, meaning."""
