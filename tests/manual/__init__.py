"""The manual pages and completions that packages ship."""
