"""Jobs: their records, the leader that schedules them, and the gateway through which clients ask."""
