"""What runs cost and how long they wait: the queue, the engine and the log around a scripted model."""
