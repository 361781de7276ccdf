# How many connections of clients each address holds, counted by each process in a book of its own. See addresses.pxi.

cdef enum:
    ADDRESS_LINE = 8            # words per cache line, the entries of the section
    ADDRESS_LINES = 1024        # of one book: 8,192 words, 64 KiB
    ADDRESS_WORDS = ADDRESS_LINE * ADDRESS_LINES
    ADDRESS_WINDOW = 16         # words looked at for one address: two lines
    ADDRESS_MOST = 65535        # what a word counts to
    ADDRESS_MAPS = 4            # of 64 slots each

cdef struct AddressLine:
    uint64_t words[ADDRESS_LINE]

cdef struct AddressBooks:       # of all slots, in shared memory
    uint64_t* words
    uint64_t* open              # one bit per slot: its book is not empty, or was not long ago
    uint32_t slots
    uint64_t seed[2]

cdef struct AddressBook:        # one process's own
    AddressBooks* all
    uint32_t slot
