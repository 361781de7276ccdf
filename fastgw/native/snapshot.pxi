# snapshot: one whole configuration, and how the next one is made of it. A request runs on one snapshot from start to end, so
# a snapshot never changes; an Edit derives another, in a time that depends on the change and not on the size.

cdef uint64_t edits             # serial numbers of Edits; 0 is nobody's

PATH_FORMS = {"normalize_uri_like_servlet": PATH_LIKE_SERVLET, "delete_uri_tail_slash": PATH_NO_TAIL_SLASH}


cdef bint plan_reads_body(Plan plan):
    return plan.condition is not None and (<Expression>plan.condition).reads_body


cdef uint8_t path_forms(names):
    return sum(PATH_FORMS[name] for name in {*names})


cdef class Snapshot:
    """One whole configuration, immutable.

    `routes`: sequence of (Plan, host, pattern): host b"" (any), b"www.a.com", b"*.a.com" or b"*" (any as well, but before those
    without one); pattern b"/x" (exact), b"/x*" (prefix), or the text of the plan's Pattern. `path_first`: paths decide before
    hosts. `paths`: names of PATH_FORMS, what is done to paths. `credentials`: mapping of kind ("jwt", "key", "basic", "hmac") to
    Credentials. `globals`: Steps.
    """

    def __cinit__(self):
        self.hosts = _Map()
        self.suffixes = _Map()
        self.lengths = {}
        self.credentials = [_Map() for _ in CREDENTIAL_KINDS]
        self.server_names = _Map()
        self.replaced = []

    def __init__(self, routes, credentials, Steps globals not None, unsigned long long revision=0, bint path_first=False,
                 paths=()):
        edit = Edit()
        edit.next = self
        self.path_first = path_first
        self.c.paths = path_forms(paths)
        for plan, host, pattern in routes:
            edit.put_route(plan, host, pattern)
        for kind, list_ in credentials.items():
            for credential in list_:
                edit.put_credential(kind, credential)
        edit.set_globals(globals)
        edit.finish(revision)

    cdef int seal(self) except -1:
        # Once whole, the tables are copied to where requests read them.
        cdef int i
        cdef RouteIndex* routes = &self.c.routes
        routes.hosts = self.hosts.c
        routes.suffixes = self.suffixes.c
        routes.any_host = NULL if self.any_host is None else &self.any_host.c
        lengths_lay(self.lengths, &routes.suffix_lengths, &routes.suffix_hashes)
        routes.n_suffix_lengths = len(self.lengths)
        for i in range(len(CREDENTIAL_KINDS)):
            self.c.credentials[i] = (<_Map>self.credentials[i]).c
        self.c.server_names = self.server_names.c
        if self.globals is not None:
            self.c.globals = self.globals.chain
        return 0

    @property
    def revision(self) -> int:
        """Revision of the store that it was compiled from."""
        return self.c.revision

    @property
    def inflight(self) -> int:
        """Exchanges that run on it now."""
        return self.c.inflight

    def __dealloc__(self):
        free(self.c.routes.suffix_lengths)
        free(self.c.routes.suffix_hashes)


cdef class Edit:
    """The next snapshot in the making, derived from `base`, which stays as it is. Arguments are as in Snapshot; of `path_first`
    and `paths` the base's word counts where there is one.

    It may take its time, and requests may run on `base` meanwhile; `finish` gives the snapshot and ends the edit.
    """

    def __init__(self, Snapshot base=None, bint path_first=False, paths=()):
        global edits
        edits += 1
        self.serial = edits
        self.base = base
        self.replaced = []
        self.next = Snapshot.__new__(Snapshot)
        self.next.path_first = path_first
        self.next.c.paths = path_forms(paths)
        if base is not None:
            self.next.path_first = base.path_first
            self.next.c.paths = base.c.paths
            self.next.c.posted = base.c.posted
            self.next.hosts = base.hosts
            self.next.suffixes = base.suffixes
            self.next.any_host = base.any_host
            self.next.lengths = base.lengths.copy()
            self.next.credentials = base.credentials.copy()
            self.next.server_names = base.server_names
            self.next.globals = base.globals

    cdef Snapshot open(self):
        if self.next is None:
            raise ValueError("expected an edit that is not finished")
        return self.next

    def put_route(self, Plan plan not None, bytes host not None, bytes pattern not None) -> None:
        """The plan also takes requests of this host and path."""
        cdef bytes own = b"" if self.open().path_first else host
        cdef _PathIndex index = paths_own(self.paths(own), self)
        index.put(self, plan, slot_of(plan, host if self.next.path_first else b"", pattern))
        self.store_paths(own, index)
        self.next.c.posted += plan_reads_body(plan)

    def drop_route(self, Plan plan not None, bytes host not None, bytes pattern not None) -> None:
        """Undoes put_route of the same arguments."""
        cdef bytes own = b"" if self.open().path_first else host
        cdef _PathIndex index = paths_own(self.paths(own), self)
        index.drop(self, plan, slot_of(plan, host if self.next.path_first else b"", pattern))
        self.store_paths(own, index)
        self.next.c.posted -= plan_reads_body(plan)

    def put_credential(self, str kind, Credential credential not None) -> None:
        """The credential is found by its key, in place of one that was before."""
        cdef int i = CREDENTIAL_KINDS.index(kind)
        cdef _Map m = map_own(self.open().credentials[i], self)
        m.put(self, credential.key, credential, &credential.c)
        self.next.credentials[i] = m

    def drop_credential(self, str kind, bytes key not None) -> None:
        """No credential is found by this key."""
        cdef int i = CREDENTIAL_KINDS.index(kind)
        cdef _Map m = map_own(self.open().credentials[i], self)
        if m.find(key) is None:
            raise KeyError(f"expected a {kind} credential with the key {key!r} in the snapshot, found none")
        m.drop(self, key)
        self.next.credentials[i] = m

    def put_server_name(self, bytes name not None, TlsServer server not None) -> None:
        """Clients that ask for this name (exact, `*.` before a name, or `*` alone) are shown these certificates."""
        cdef _Map m = map_own(self.open().server_names, self)
        m.put(self, name, server, &server.c)
        self.next.server_names = m

    def drop_server_name(self, bytes name not None) -> None:
        """No certificate is shown by this name."""
        cdef _Map m = map_own(self.open().server_names, self)
        m.drop(self, name)
        self.next.server_names = m

    def set_globals(self, Steps steps not None) -> None:
        """The steps that every request takes."""
        self.open().globals = steps

    def finish(self, unsigned long long revision=0) -> Snapshot:
        """The snapshot."""
        cdef Snapshot made = self.open()
        made.c.revision = revision
        made.seal()
        self.next = None
        if self.base is not None:
            self.base.replaced += self.replaced
            self.base = None
        return made

    cdef _PathIndex paths(self, bytes host):
        cdef Snapshot into = self.open()
        if host == b"":
            return into.any_host
        if host.startswith(b"*"):
            return into.suffixes.find(suffix_key(host))
        return into.hosts.find(host)

    cdef int store_paths(self, bytes host, _PathIndex index) except -1:
        cdef Snapshot into = self.next
        cdef bint empty = index.c.exact.used == 0 and index.c.prefix.used == 0
        cdef bint star = host.startswith(b"*")
        cdef bytes key = suffix_key(host) if star else host
        cdef _Map m
        if host == b"":
            into.any_host = None if empty else index
            return 0
        m = map_own(into.suffixes if star else into.hosts, self)
        if star and (empty or m.find(key) is None):
            lengths_count(into.lengths, len(key), -1 if empty else 1)
        if empty:
            m.drop(self, key)
        else:
            m.put(self, key, index, &index.c)
        if star:
            into.suffixes = m
        else:
            into.hosts = m
        return 0


cdef bytes suffix_key(bytes host):
    # "*.a.com" as the router looks for it: from its end.
    return bytes(reversed(host.removeprefix(b"*")))
