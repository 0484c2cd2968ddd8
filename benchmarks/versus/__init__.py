"""Comparisons with other libraries, for benchmarks/peers.py.

One worker process a contender, so that no two contenders' thread pools are in one process; the workers take
turns (ours, the peer, ours, the peer, ...), and whoever is not timed sleeps on a pipe.  `cases` say what is
compared, `contenders` how each library does it, the other modules how it is timed and reported.
"""
