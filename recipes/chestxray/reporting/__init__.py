"""Words, tables, plots and cards."""
