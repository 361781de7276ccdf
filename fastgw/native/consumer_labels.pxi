# consumer_labels: the attach-consumer-label plugin's step: header lines for the upstream with labels of the consumer's. What
# clients send under these names has been taken out before (strip).

cdef struct LabelLine:
    const char* name
    uint32_t name_len
    const char* label           # as label_name begins it
    uint32_t label_len

cdef struct ConsumerLabels:
    LabelLine* lines
    uint32_t n


cdef class ConsumerLabelsStep(Step):
    """attach-consumer-label of one object: pairs (header, label)."""
    cdef ConsumerLabels conf
    cdef list held

    def __init__(self, pairs):
        cdef bytes name, label
        pairs = list(pairs)
        self.conf.lines = <LabelLine*>calloc(len(pairs) or 1, sizeof(LabelLine))
        if self.conf.lines == NULL:
            raise MemoryError
        self.held = []
        for header, text in pairs:
            name, label = header.encode(), label_name(text, "")
            self.held += [name, label]
            self.conf.lines[self.conf.n].name = name
            self.conf.lines[self.conf.n].name_len = <uint32_t>len(name)
            self.conf.lines[self.conf.n].label = label
            self.conf.lines[self.conf.n].label_len = <uint32_t>len(label)
            self.conf.n += 1
        self.bind(step_consumer_labels, &self.conf, "before_proxy")

    def __dealloc__(self):
        free(self.conf.lines)


cdef bint label_find(const ConsumerC* consumer, const char* label, uint32_t n, Span* text) noexcept nogil:
    # What the consumer's label says, as it stands.
    cdef uint32_t at = 0
    cdef uint32_t size
    while at < consumer.texts_len:
        memcpy(&size, consumer.texts + at, sizeof(size))
        at += <uint32_t>sizeof(size)
        if size >= n and memcmp(consumer.texts + at, label, n) == 0:
            text.p = consumer.texts + at + n
            text.n = size - n
            return True
        at += size
    return False


cdef int step_consumer_labels(Exchange* x, void* p) noexcept nogil:
    cdef const ConsumerLabels* c = <const ConsumerLabels*>p
    cdef const LabelLine* line
    cdef Span text
    cdef uint32_t i
    if x.consumer == NULL:
        return STEP_NEXT
    for i in range(c.n):
        line = &c.lines[i]
        if label_find(x.consumer, line.label, line.label_len, &text):
            while extra_drop(x, line.name, line.name_len):
                pass
            extra_line(&x.up_extra, line.name, line.name_len, text.p, text.n)
    return STEP_NEXT
