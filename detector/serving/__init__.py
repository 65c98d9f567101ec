"""The model server's parts: two protocols, three forms, and the queue and workers that they share."""
