# http_date: dates as HTTP writes them (RFC 9110 section 5.6.7): the one form that is sent, and the two obsolete ones that must
# be understood. Must not know what a date is for.

cdef const char** _http_days = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
cdef const char* http_days[7]
memcpy(http_days, _http_days, sizeof(http_days))
cdef const char* HTTP_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"
cdef const uint8_t* HTTP_MONTH_DAYS = b"\x1f\x1d\x1f\x1e\x1f\x1e\x1f\x1f\x1e\x1f\x1e\x1f"    # of a leap year


cdef inline int date_number(const char* p, int n) noexcept nogil:
    # n digits; -1 where one is none.
    cdef int value = 0
    cdef int i
    for i in range(n):
        if not c"0" <= p[i] <= c"9":
            return -1
        value = 10 * value + (p[i] - c"0")
    return value


cdef inline int date_month(const char* p) noexcept nogil:
    # 1 to 12; 0: no name of a month.
    cdef int i
    for i in range(12):
        if memcmp(p, HTTP_MONTHS + 3 * i, 3) == 0:
            return i + 1
    return 0


cdef inline int64_t date_days(int year, int month, int day) noexcept nogil:
    # Days since 1970-01-01, counted in years that begin in March, so that the leap day is a year's last.
    cdef int64_t y = year - (month <= 2)
    cdef int64_t since_march = (month + 9) % 12
    return 365 * y + y // 4 - y // 100 + y // 400 + (153 * since_march + 2) // 5 + day - 1 - 719468


cdef inline int64_t date_seconds(int year, int month, int day, const char* clock) noexcept nogil:
    # `clock` is "hh:mm:ss". A leap second may be written; it is the next minute's first.
    cdef int hour = date_number(clock, 2)
    cdef int minute = date_number(clock + 3, 2)
    cdef int second = date_number(clock + 6, 2)
    cdef bint leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if clock[2] != c":" or clock[5] != c":" or year < 1970 or month < 1 or day < 1:
        return -1
    if day > HTTP_MONTH_DAYS[month - 1] or (month == 2 and day == 29 and not leap):
        return -1
    if not (0 <= hour <= 23 and 0 <= minute <= 59 and 0 <= second <= 60):
        return -1
    return date_days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second


cdef int64_t http_date(const char* p, uint32_t n) noexcept nogil:
    """Seconds since 1970 of a date; -1: it is none, or an earlier one."""
    cdef const char* name
    cdef uint32_t whole
    cdef int year
    cdef int i
    if n < 24:
        return -1
    for i in range(7):
        name = http_days[i]
        if memcmp(p, name, 3) == 0:
            break
    else:
        return -1
    whole = <uint32_t>strlen(name)
    if n == 29 and memcmp(p + 3, b", ", 2) == 0:                # Sun, 06 Nov 1994 08:49:37 GMT
        if p[7] == c" " and p[11] == c" " and p[16] == c" " and memcmp(p + 25, b" GMT", 4) == 0:
            return date_seconds(date_number(p + 12, 4), date_month(p + 8), date_number(p + 5, 2), p + 17)
        return -1
    if n == whole + 24 and memcmp(p, name, whole) == 0:         # Sunday, 06-Nov-94 08:49:37 GMT
        p += whole
        if memcmp(p, b", ", 2) == 0 and p[4] == c"-" and p[8] == c"-" and p[11] == c" " and memcmp(p + 20, b" GMT", 4) == 0:
            year = date_number(p + 9, 2)
            if year < 0:
                return -1
            return date_seconds(year + (2000 if year < 70 else 1900), date_month(p + 5), date_number(p + 2, 2), p + 12)
        return -1
    if n == 24 and p[3] == c" " and p[7] == c" " and p[10] == c" " and p[19] == c" ":       # Sun Nov  6 08:49:37 1994
        i = date_number(p + 9, 1) if p[8] == c" " else date_number(p + 8, 2)
        return date_seconds(date_number(p + 20, 4), date_month(p + 4), i, p + 11)
    return -1


def _test_http_date(bytes text not None) -> int:
    """Seconds since 1970 that the text stands for, -1 where it is no HTTP date."""
    return http_date(<const char*>text, <uint32_t>len(text))
