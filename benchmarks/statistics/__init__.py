"""Whether intervals cover, and false alarms stay at their rate."""
