# Verdicts on a parsed head: where its body ends, whether the connection lives on, what must not cross.
# Owns: the shape of the survey that one verdict works on. Bodies in framing.pxi.

cdef enum:
    FRAMING_OPTIONS = 32        # options of Connection in one message; each is compared with every field name

cdef struct Framing:
    Head* head
    const char* base
    uint8_t count[FIELD_COUNT]  # fields by id; HEAD_MAX_FIELDS fits
    uint8_t close               # options of Connection
    uint8_t keep_alive
    uint8_t upgrade
