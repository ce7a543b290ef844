"""Results become sentences and tables. Every sentence is chosen by the data, and would say the opposite if it did."""
