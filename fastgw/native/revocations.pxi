# revocations: the table of what is revoked as the processes see it that keep it: what is written, by whom, what a killed writer
# left. Must not know where revocations come from, nor how an entry is found (revoked).

REV_KINDS = ("jti", "sub", "credential", "all")


class RevocationsFullError(ValueError):
    """There is no room for another entry."""


cdef class Revocations:
    """The table of a region. Any process may ask; between `lock` and `unlock` one process may write.

    An entry is owned by an id, one by each. Subjects are bytes: a jti or a sub, b"<consumer>/<credential>" or b"<consumer>", b""
    for all tokens. Times are in whole seconds since 1970.
    """
    cdef Region region
    cdef RevTable* table
    cdef dict marks             # owner -> the mark under which its entry is, as of `writes`
    cdef uint64_t writes
    cdef bint locked

    def __init__(self, Region region not None):
        self.region = region
        self.table = &region.revoked
        self.writes = ~<uint64_t>0      # nothing was looked at yet

    @property
    def capacity(self) -> int:
        """How many entries there can be."""
        return self.table.capacity

    @property
    def held(self) -> int:
        """How many entries there are, those whose time has come but nobody needed the room of among them."""
        return at_load(&self.table.head.all)

    def revoked(self, str kind not None, bytes subject not None, issued=None, long long now=0) -> bool:
        """Whether what this subject was given at `issued` (None: unknown) is revoked at `now`."""
        cdef RevName name
        self.name(kind, subject, &name)
        return rev_holds(self.table, &name, REV_NEVER if issued is None else <int64_t>issued, now)

    def lock(self) -> int:
        """Waits until no other process writes. The store's revision that the entries are those of; 0: begin from the whole.

        The lock is the kernel's and of this process: one thread of it at a time may come here.
        """
        cdef uint64_t writes
        if self.locked:
            raise RuntimeError("revocations: expected an unlocked table, found it locked by this process")
        _fcntl.lockf(self.region.fd, _fcntl.LOCK_EX)
        self.locked = True
        writes = at_load(&self.table.head.writes)
        if writes & 1 or writes != self.writes:
            self.look_around()
        if writes & 1:          # a writer was killed, or failed
            at_store(&self.table.head.revision, 0)
        else:
            at_add(&self.table.head.writes, 1)
        return at_load(&self.table.head.revision)

    def unlock(self, revision) -> None:
        """Lets others write. `revision` of the store is what the entries are of now; None: of none, the next one begins anew."""
        self.must_be_locked()
        if revision is not None:
            at_store(&self.table.head.revision, revision)
            at_add(&self.table.head.writes, 1)
        self.writes = at_load(&self.table.head.writes)
        self.locked = False
        _fcntl.lockf(self.region.fd, _fcntl.LOCK_UN)

    def put(self, bytes id not None, str kind not None, bytes subject not None, before=None, expires=None,
            long long now=0) -> None:
        """Makes this the entry of the id. `before`: revoked is what was issued before, None: whatever it is.

        RevocationsFullError: nothing was changed, and of what is there nothing has expired at `now`.
        """
        cdef RevName name
        cdef RevEntry made
        cdef uint64_t place, old = ~<uint64_t>0
        cdef RevEntry* e
        self.must_be_locked()
        self.name(kind, subject, &name)
        owner = self.owned(id, made.owner)
        made.kind = REV_KINDS.index(kind)
        made.fingerprint[0] = name.fingerprint[0]
        made.fingerprint[1] = name.fingerprint[1]
        made.before = <uint64_t>(REV_EVER if before is None else <int64_t>before)
        made.expires = <uint64_t>(REV_EVER if expires is None else <int64_t>expires)
        known = self.marks.get(owner)
        if known is not None:
            old = rev_place(self.table, known, made.owner, ~<uint64_t>0)
            e = &self.table.entries[old]
            if (known == name.mark and e.fingerprint[0] == made.fingerprint[0] and e.fingerprint[1] == made.fingerprint[1]
                    and e.before == made.before and e.expires == made.expires):
                return
        elif self.held >= self.table.capacity:
            self.reclaim(now)
            if self.held >= self.table.capacity:
                raise RevocationsFullError(f"revocations: expected at most {self.table.capacity}, found one more")
        place = rev_insert(self.table, name.mark, &made)
        self.marks[owner] = name.mark
        if known is not None:
            rev_remove(self.table, rev_place(self.table, known, made.owner, place))

    def drop(self, bytes id not None) -> None:
        """Takes out the entry of the id, if there is one."""
        cdef uint64_t owner[2]
        self.must_be_locked()
        self.forget(self.owned(id, owner))

    def keep(self, ids) -> None:
        """Takes out all entries but those of these ids."""
        cdef uint64_t owner[2]
        self.must_be_locked()
        wanted = {self.owned(id, owner) for id in ids}
        for each in [each for each in self.marks if each not in wanted]:
            self.forget(each)

    cdef int must_be_locked(self) except -1:
        if not self.locked:
            raise RuntimeError("revocations: expected a locked table, found it unlocked")
        return 0

    cdef int name(self, str kind, bytes subject, RevName* name) except -1:
        cdef int number
        if kind not in REV_KINDS:
            raise ValueError(f"kind: expected one of {', '.join(REV_KINDS)}, found {kind!r}")
        number = REV_KINDS.index(kind)
        if number == REV_CREDENTIAL:
            rev_credential(subject, len(subject), name)
        else:
            rev_name(self.table.seed, number, subject, len(subject), name)
        return 0

    cdef bytes owned(self, bytes id, uint64_t* owner):
        rev_fingerprint(self.table.seed, REV_OWNER, id, len(id), owner)
        return (<char*>owner)[:16]

    cdef int forget(self, bytes owner) except -1:
        cdef const char* raw = owner
        mark = self.marks.pop(owner, None)
        if mark is not None:
            rev_remove(self.table, rev_place(self.table, mark, <const uint64_t*>raw, ~<uint64_t>0))
        return 0

    cdef int reclaim(self, long long now) except -1:
        # What has expired gives way.
        cdef uint64_t i
        cdef RevEntry* e
        expired = []
        for i in range(self.table.mask + 1):
            e = &self.table.entries[i]
            if at_load(&self.table.marks[i]) > REV_GONE and <int64_t>e.expires <= now:
                expired.append((<char*>e.owner)[:16])
        for owner in expired:
            self.forget(owner)
        return 0

    cdef int look_around(self) except -1:
        # What is there, after others wrote. Counts, doubles and gaps that one left who was killed are put right.
        cdef uint64_t i, mark
        cdef uint64_t of[REV_KIND_COUNT]
        cdef RevEntry* e
        cdef bint whole = False
        cdef int kind
        while not whole:
            whole = True
            self.marks = {}
            memset(of, 0, sizeof(of))
            for i in range(self.table.mask + 1):
                mark = at_load(&self.table.marks[i])
                e = &self.table.entries[i]
                if mark == REV_FREE:
                    continue
                owner = (<char*>e.owner)[:16]
                if mark == REV_GONE:
                    rev_close(self.table, i)
                elif owner in self.marks:
                    rev_remove(self.table, i)
                else:
                    self.marks[owner] = mark
                    of[e.kind] += 1
                    continue
                whole = False       # others have moved
                break
        for kind in range(REV_KIND_COUNT):
            at_store(&self.table.head.of[kind], of[kind])
        at_store(&self.table.head.all, len(self.marks))
        return 0
