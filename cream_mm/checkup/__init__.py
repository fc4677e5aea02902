"""What is installed and what a machine offers, found out without trusting that any of it works."""
