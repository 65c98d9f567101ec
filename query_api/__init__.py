"""The query API: images, circles and the state of the flow over HTTP."""
