"""Files of users and of others: opened, read within limits, and locked."""
