"""What is noted of one batch: its content, the random streams, who made it and when."""
