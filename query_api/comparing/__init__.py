"""Two versions of the model compared over HTTP, and as a page for people."""
