# build: how this extension was compiled, for those who compare figures of one build with another's.

cdef extern from *:
    """
    #define FGW_TEXT_(x) #x
    #define FGW_TEXT(x) FGW_TEXT_(x)
    #if defined(__clang__)
    #define FGW_COMPILER "clang" FGW_TEXT(__clang_major__)
    #elif defined(__GNUC__)
    #define FGW_COMPILER "gcc" FGW_TEXT(__GNUC__)
    #else
    #define FGW_COMPILER "unknown"
    #endif
    """
    const char* FGW_COMPILER
    const char* FASTGW_BUILD            # setup.py's

COMPILER = FGW_COMPILER.decode()
BUILD = FASTGW_BUILD.decode()
