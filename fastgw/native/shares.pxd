# What one node knows of a count that several nodes share, as cells of the limiter's table: see shares.pxi.

cdef enum ShareCell:
    SHARE_OWN = 0               # what this node was granted in the window, or took while the store was away
    SHARE_BASE                  # of that, what the store is known to know
    SHARE_OTHERS                # what the other nodes were granted, as of the store's last word
    SHARE_LEASE                 # of what it was granted, what this node may still give to requests
    SHARE_ASKED                 # the store was asked about a count that was used up
    SHARE_MINDED                # some worker of the node minds the count
    SHARE_NODES                 # not of a count: how many nodes share those of a store, and this one's place among them

cdef enum ShareChange:
    SHARE_ADD
    SHARE_SET
    SHARE_RAISE                 # to the larger of the two
    SHARE_CUT                   # subtract, down to 0
