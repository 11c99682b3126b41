/* The request that all calls are, made once. */
#ifndef BENCH_LOAD_REQUEST_H
#define BENCH_LOAD_REQUEST_H

#include <stddef.h>

/* As the options want it; the caller's to free. */
char *request_make(size_t *len);
/* Makes it another key's, with --keys; before any of it is sent. */
void request_draw(char *request);

#endif
