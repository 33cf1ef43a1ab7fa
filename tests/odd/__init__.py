"""Odd upstreams: what indexes of other make serve, and what a client behind us sees of it.

Each kind of server has a module that publishes projects as that server does (`pypi`, `pytorch`,
`devpi` …), in our own words, and tests of it through the running daemon: pages in both formats to
the last member, files and sidecars to the last byte, in every spelling of their links.
"""
