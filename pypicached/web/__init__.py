"""Public HTTP: read only, no users, nothing that changes state beyond filling the cache."""
