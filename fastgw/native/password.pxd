# Passwords of which only a hash is known: see password.pxi.

cdef enum:                      # what is said of a password
    PASSWORD_BAD
    PASSWORD_GOOD
    PASSWORD_LATER              # the exchange is suspended until it is
    PASSWORD_BUSY               # too many wait
    PASSWORD_FAILED             # the hash could not be computed

cdef struct PasswordC:
    uint8_t good[SECRET_DIGEST]     # digest of the password, once it was shown
    bint good_known
    bint counted                # in password_hashes
    PyObject* owner             # the PasswordHash; borrowed

cdef class PasswordHash:
    cdef PasswordC c
    cdef object verify
    cdef object __weakref__
    cdef int ask(self, Exchange* x, bytes user, bytes password, bytes digest, void* conf, void* credential) except -1
    cdef int told(self, PasswordDesk desk, bytes digest, future) except -1

cdef class PasswordDesk:
    cdef object threads
    cdef uint32_t n             # passwords that are judged or wait for a thread
    cdef dict waiting           # hash, user and digest of a password that is judged -> who waits for the answer on this loop
    cdef object run(self, loop, work, bytes password)
    cdef int close(self) except -1
