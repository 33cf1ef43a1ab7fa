"""The cache itself: pages, files, downloads, room. Files → pages → flights, never back."""
