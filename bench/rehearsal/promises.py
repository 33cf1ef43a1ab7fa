"""What the product promises for an outage, in figures; seconds unless said otherwise.

From PRODUCT.md, sections 4 and 6, and the HTTP rules 38 to 46; the rehearsed daemon keeps the
defaults of all that is named here, but for `page_ttl` and `negative_ttl`.
"""

# A stale page leaves within `page_deadline`, 5 s, and travels (rule 39).
SLOWEST_PAGE_SECONDS = 6.0
# What is not stored is a 502 or 503 within `cold_deadline`, 10 s, and travels (rule 41).
COLD_SECONDS = 11.0
# pip sleeps as long as it is told, five times in a row (rule 41).
RETRY_AFTER_SECONDS = 2
# The first answer may take the `cold_deadline`; later ones come at once (rule 46), so that pip's
# five retries and uv's three add their own pauses and little more.
CLIENT_SECONDS = 30.0
# Short, for a rehearsal; longer than a failing host is left alone at most (30 s, rule 46).
PAGE_TTL_SECONDS = 60
# A 404 is believed for so long after its last confirmation (rule 42).
NEGATIVE_TTL_SECONDS = 5
# Pages are as upstream has them within one TTL of its return; a probe takes its time, too.
RECOVERY_SECONDS = PAGE_TTL_SECONDS + 3.0
