/* A log-linear histogram of nanoseconds, as HdrHistogram: each power of two in HALF steps, so that no value
 * is further than 1/256 of itself from the middle of its step. Must not know what is measured. */
#ifndef FASTGW_BENCH_HISTOGRAM_H
#define FASTGW_BENCH_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

enum {
    HALF = 128,
    POWERS = 42,                  /* up to 2^49 ns, six days */
    STEPS = (POWERS + 1) * HALF,
};

struct histogram {
    uint64_t steps[STEPS];
    uint64_t total;
    int64_t most;
};

static void record(struct histogram *to, int64_t value)
{
    uint64_t v = value > 0 ? (uint64_t)value : 0;
    int shift = v < 2 * HALF ? 0 : 63 - __builtin_clzll(v) - 7; /* v >> shift is in HALF..2*HALF-1 */
    size_t step = (size_t)shift * HALF + (v >> shift);
    to->steps[step < STEPS ? step : STEPS - 1]++;
    to->total++;
    if (value > to->most)
        to->most = value;
}

/* The middle of a step, in microseconds; no more than the most there was. */
static double middle(const struct histogram *of, size_t step)
{
    size_t shift = step < 2 * HALF ? 0 : step / HALF - 1;
    double low = (double)((uint64_t)(step - shift * HALF) << shift);
    double found = low + (double)((UINT64_C(1) << shift) - 1) / 2;
    return (found < (double)of->most ? found : (double)of->most) / 1e3;
}

/* The least step that `share` of the values do not pass, in microseconds. */
static double percentile(const struct histogram *of, double share)
{
    double wanted = share * (double)of->total;
    uint64_t seen = 0;
    for (size_t step = 0; step < STEPS; step++) {
        seen += of->steps[step];
        if (seen && (double)seen >= wanted)
            return middle(of, step);
    }
    return 0;
}

#endif
