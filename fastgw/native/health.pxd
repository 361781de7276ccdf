# What is known of the health of upstream nodes, shared by all processes. See health.pxi.

cdef enum:
    HEALTH_PLACES = 16384       # addresses of nodes; while a quarter are taken none lacks one
    HEALTH_WINDOW = 16          # places from an address's home on: four cache lines
    HEALTH_TRIES = 10000        # lost races, each to another report's success

cdef enum:                      # HealthReport; also the number of the counter
    HEALTH_SUCCESS = 0
    HEALTH_HTTP = 1
    HEALTH_TCP = 2
    HEALTH_TIMEOUT = 3

cdef enum:                      # HealthState; bit 1: no requests for it
    HEALTH_WELL = 0
    HEALTH_MOSTLY_WELL = 1
    HEALTH_UNWELL = 2
    HEALTH_MOSTLY_UNWELL = 3

cdef struct HealthPlace:
    pair16 v                    # lo: whose it is, 0 of nobody; hi: state 2 | counters 4 x 8, the first one lowest

cdef struct HealthTable:
    HealthPlace* places
    uint64_t* given             # how many times an address got a place: who has found none need not look before it grows
    uint64_t seed[2]
