/*
 * How long things took: counts by classes of time, four to a doubling, from 64 µs on. A class is at most
 * a quarter wider than what it begins with, so a percentile is known to that. Adding is a few
 * instructions; sums of histograms are histograms.
 */
#ifndef LEDGER_HISTOGRAM_H
#define LEDGER_HISTOGRAM_H

#include "base/base.h"

#define HISTOGRAM_CLASSES 128u

struct histogram {
    uint32_t count[HISTOGRAM_CLASSES]; /* stays at UINT32_MAX when it comes there */
};

void histogram_add(struct histogram *h, uint64_t us);
void histogram_merge(struct histogram *to, const struct histogram *what);
uint64_t histogram_total(const struct histogram *h);
/* The time that so many thousandths of all are not longer than: the end of its class. 0: there are none. */
uint64_t histogram_us(const struct histogram *h, unsigned per_mille);

/* In the store: (class, count) of those that are not 0, a byte and four of them. */
#define HISTOGRAM_BYTES_MAX (HISTOGRAM_CLASSES * 5u)
size_t histogram_write(const struct histogram *h, uint8_t out[HISTOGRAM_BYTES_MAX]);
/* Adds what is written to *h. False: it is damaged, and *h is as before. */
bool histogram_read(struct str bytes, struct histogram *h) MUST_CHECK;

#endif
