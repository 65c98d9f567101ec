"""Model versions compared on the images that both have seen: from what the view holds, no model is called."""
