# addresses: how many connections each client address holds, over all processes. Must not know: sockets, which addresses count.
#
# Each process writes in its own book only, in which an address has one word, fingerprint 48 | count 16, somewhere in a window of
# ADDRESS_WINDOW; a word whose count is 0 is empty. What an address holds in all is the sum over the books. Who takes a
# connection counts it first and adds up then, both sequentially consistent: of two that take the last place at once, one at
# least sees the other, so there are never more than the bound (at worst both are refused). What a dead process counted goes with
# its book, which is emptied when its slot changes hands: no count of a living one is touched for it.
#
# An address that finds its window full, which takes thousands of others in one worker, is not counted. Nobody can aim at a
# window: it is chosen by a hash under the region's seed. Of IPv6 a /64 is one address: that is what one subscriber has
# (RFC 6177), as in admin.wrong_keys.


cdef inline uint64_t* address_word(const AddressBooks* all, uint32_t slot, uint32_t home, int i) noexcept nogil:
    return &all.words[<uint64_t>slot * ADDRESS_WORDS + (home + <uint32_t>i) % ADDRESS_WORDS]


cdef uint32_t address_find(const AddressBooks* all, const uint8_t* address, uint64_t* fp) noexcept nogil:
    # Where its window begins, and its fingerprint. `address` has 16 bytes, IPv4 mapped.
    cdef siphash_state s
    cdef uint64_t lo, hi
    cdef bint four = memcmp(address, b"\0\0\0\0\0\0\0\0\0\0\xff\xff", 12) == 0
    siphash_start(&s, all.seed[0], all.seed[1])
    siphash_end(&s, address, 16 if four else 8, &lo, &hi)
    fp[0] = lo >> 16 if lo >> 16 else 1
    return <uint32_t>(hi % ADDRESS_LINES) * ADDRESS_LINE


cdef uint32_t address_held(const AddressBooks* all, uint32_t slot, uint32_t home, uint64_t fp) noexcept nogil:
    # What one book says of it.
    cdef int i
    cdef uint64_t w
    for i in range(ADDRESS_WINDOW):
        w = at_load(address_word(all, slot, home, i))
        if w >> 16 == fp:
            return <uint32_t>(w & ADDRESS_MOST)
    return 0


cdef void address_mark(const AddressBooks* all, uint32_t slot, bint is_open) noexcept nogil:
    cdef uint64_t* word = &all.open[slot // 64]
    cdef uint64_t bit = <uint64_t>1 << (slot % 64)
    cdef uint64_t w = at_load(word)
    while (w & bit != 0) != is_open and not at_cas(word, w, w ^ bit):
        w = at_load(word)


cdef bint address_enter(AddressBook* b, const uint8_t* address, uint32_t most, uint64_t* held) noexcept nogil:
    # One more connection of the address. False: it has `most` already. `held` is for address_leave; 0: it is not counted.
    cdef const AddressBooks* all = b.all
    cdef uint64_t fp, w
    cdef uint32_t home = address_find(all, address, &fp)
    cdef uint32_t slot, n
    cdef int i
    cdef int at = ADDRESS_WINDOW
    cdef uint64_t* word
    held[0] = 0
    for i in range(ADDRESS_WINDOW):
        w = at_load(address_word(all, b.slot, home, i))
        if w >> 16 == fp:
            at = i
            break
        if w == 0 and at == ADDRESS_WINDOW:
            at = i
    if at == ADDRESS_WINDOW:
        return True
    word = address_word(all, b.slot, home, at)
    w = at_load(word)
    n = <uint32_t>(w & ADDRESS_MOST) + 1
    if n > most or n > ADDRESS_MOST:
        return False
    if not at_cas(word, w, fp << 16 | n):
        return True             # another process uses our slot
    held[0] = fp << 16 | (home + <uint32_t>at) % ADDRESS_WORDS + 1
    address_mark(all, b.slot, True)
    for i in range(ADDRESS_MAPS):
        w = at_load(&all.open[i])
        slot = <uint32_t>i * 64
        while w:
            if w & 1 and slot != b.slot:
                n += address_held(all, slot, home, fp)
            w >>= 1
            slot += 1
    if n <= most:
        return True
    address_leave(b, held[0])
    held[0] = 0
    return False


cdef void address_leave(AddressBook* b, uint64_t held) noexcept nogil:
    # Once per connection that was counted. A book that was emptied meanwhile, as its slot changed hands, is left alone.
    cdef uint64_t* word = address_word(b.all, b.slot, <uint32_t>(held & ADDRESS_MOST) - 1, 0)
    cdef uint64_t w = at_load(word)
    while w >> 16 == held >> 16 and not at_cas(word, w, w - 1 if w & ADDRESS_MOST > 1 else 0):
        w = at_load(word)


cdef void address_clear(const AddressBooks* all, uint32_t slot) noexcept nogil:
    # What a process that is no more counted in this slot.
    cdef int i
    if not at_load(&all.open[slot // 64]) >> (slot % 64) & 1:
        return
    for i in range(ADDRESS_WORDS):
        at_store(address_word(all, slot, 0, i), 0)
    address_mark(all, slot, False)
