# password: passwords of which only a hash is known. To judge one takes tens of milliseconds and megabytes on purpose, so a few
# threads do it while the worker serves others, and what they found is remembered.
#
# Owns: what is remembered, who waits for which answer, and how many may. Must not know how a hash is made, or where a request
# carries a password.
#
# A hash remembers the digest (secret) of the right password. That never ceases to be true: an edit of the credential makes
# another hash. A wrong one is not remembered: users who do not exist share one place, so the time that an answer takes would tell
# them from those who do. Of one password that many show at once for one user one is judged. How many different ones may wait is
# bounded for each user, so that whoever guesses at one's password keeps no other user out, and for all together.

from concurrent.futures import ThreadPoolExecutor as _ThreadPoolExecutor
from functools import partial as _partial
from weakref import WeakSet as _WeakSet

cdef enum:
    PASSWORD_THREADS = 2        # per worker
    PASSWORD_EACH = 4           # different passwords of one user that are judged or wait
    PASSWORD_MOST = 64          # of all users

_password_hashes = _WeakSet()   # those that are in use
cdef uint32_t password_hashes = 0   # how many those are, for who does not hold the interpreter


cdef class PasswordHash:
    """A password of which only a hash is known. `verify(password) -> bool` judges one, and may take its time."""

    def __cinit__(self, verify=None):
        global password_hashes
        self.verify = verify
        self.c.owner = <PyObject*>self
        if verify is not None:
            _password_hashes.add(self)
            password_hashes += 1
            self.c.counted = True

    def __dealloc__(self):
        global password_hashes
        if self.c.counted:
            password_hashes -= 1
        sha2_wipe(&self.c, sizeof(self.c))

    cdef int ask(self, Exchange* x, bytes user, bytes password, bytes digest, void* conf, void* credential) except -1:
        cdef Reactor reactor = <Reactor>x.loop.reactor
        cdef PasswordDesk desk = reactor.passwords
        cdef PasswordHash model = self if self.verify is not None else next(iter(_password_hashes), None)
        waiting = desk.waiting.get((self, user, digest))
        if model is None:
            return PASSWORD_BAD
        if waiting is None:
            if reactor.loop is None:    # nobody else is served here
                return PASSWORD_GOOD if model.verify(password) and model is self else PASSWORD_BAD
            if desk.n >= PASSWORD_MOST or len([1 for key in desk.waiting if key[0] is self]) >= PASSWORD_EACH:
                return PASSWORD_BUSY
            future = desk.run(reactor.loop, model.verify, password)
            desk.waiting[self, user, digest] = waiting = []
            reactor.tasks.add(future)
            future.add_done_callback(_partial(_password_told, self, reactor, user, digest))
        waiting.append((pyrequest_of(x), <uintptr_t>conf, <uintptr_t>credential))
        x.waiting = 1
        return PASSWORD_LATER

    cdef int told(self, PasswordDesk desk, bytes digest, future) except -1:
        # What came of it, remembered where it is certain.
        cdef const uint8_t* p = <const uint8_t*><const char*>digest
        desk.n -= 1
        if future.cancelled() or future.exception() is not None:
            return PASSWORD_FAILED
        if not future.result() or self.verify is None:
            return PASSWORD_BAD
        memcpy(self.c.good, p, SECRET_DIGEST)
        self.c.good_known = True
        return PASSWORD_GOOD


cdef class PasswordDesk:
    """The threads of one worker, or of one loop of an application, that judge passwords; started when there is work for them."""

    def __cinit__(self):
        self.waiting = {}

    cdef object run(self, loop, work, bytes password):
        if self.threads is None:
            self.threads = _ThreadPoolExecutor(PASSWORD_THREADS, "password")
        future = loop.run_in_executor(self.threads, work, password)
        self.n += 1
        return future

    cdef int close(self) except -1:
        # What waits is given up: the end of the process must not wait for it.
        if self.threads is not None:
            self.threads.shutdown(wait=False, cancel_futures=True)
            self.threads = None
        return 0


# What a password of a user who does not exist is judged by: it finds none good.
cdef PasswordHash _password_nobody = PasswordHash()
cdef PasswordC* password_nobody = &_password_nobody.c


cdef bint password_known(const PasswordC* p, const uint8_t* digest) noexcept nogil:
    # Whether it was found good before.
    return ct_equal(digest, p.good, SECRET_DIGEST) and p.good_known


cdef int password_ask(
    Exchange* x, PasswordC* p, const Span* user, const Span* password, const uint8_t* digest, void* conf, void* credential
) noexcept nogil:
    # PASSWORD_LATER: the step must end with STEP_WAIT, and basic_answer has the rest of it.
    with gil:
        try:
            return (<PasswordHash>p.owner).ask(
                x, user.p[:user.n] if user.n else b"", password.p[:password.n] if password.n else b"",
                (<const char*>digest)[:SECRET_DIGEST], conf, credential)
        except BaseException as error:
            password_error(x.loop, error)
    return PASSWORD_FAILED


cdef void password_error(Loop* loop, error) noexcept:
    try:
        (<Reactor>loop.reactor).on_error("basic-auth", "rewrite", error)
    except BaseException:
        pass                    # who is told of errors has one: the request is answered all the same


def _password_told(PasswordHash hashed not None, Reactor reactor not None, bytes user not None, bytes digest not None, future):
    """The callback of a password that was judged: all who showed it go on. Runs outside any drain."""
    cdef int answer
    reactor.tasks.discard(future)
    answer = hashed.told(reactor.passwords, digest, future)
    if answer == PASSWORD_FAILED and not future.cancelled():
        password_error(&reactor.core, future.exception())
    for request, conf, credential in reactor.passwords.waiting.pop((hashed, user, digest)):
        password_resume(request, <void*><uintptr_t>conf, <void*><uintptr_t>credential, answer)
    reactor.resumed()


cdef void password_resume(Request request, void* conf, void* credential, int answer) noexcept:
    cdef Exchange* x = request.x
    cdef Loop* loop
    if x == NULL:
        return
    loop = x.loop
    x.waiting = 0
    with nogil:
        loop_clock(loop)
        if x.down == NULL:
            exchange_resume(x, STEP_NEXT)       # the client left meanwhile
        else:
            exchange_resume(x, basic_answer(x, <BasicAuthConf*>conf, <CredentialC*>credential, answer))
        conn_bury(loop)
