/* Quantities for people: three figures and a unit. Whole numbers in, text out, cut to the room there is. */
#ifndef CLI_QUANTITY_H
#define CLI_QUANTITY_H

#include "base/base.h"

/* Thousandths of something: "0.25", "12.3", "4.56k", "789M". */
void quantity_milli(uint64_t milli, char *out, size_t cap);
/* A time: "250us", "12.3ms", "4.5s", "3m20s". */
void quantity_us(uint64_t us, char *out, size_t cap);
/* A span of seconds: "45s", "5m", "3h12m", "4d5h". */
void quantity_span(uint64_t seconds, char *out, size_t cap);

#endif
