/*
 * Sending documents to a collector, each again until it is taken or given up: libcurl on one thread, which is
 * loaded when it is needed, so that no other process has it and what it stands on.
 */
#ifndef TELEMETRY_HTTP_H
#define TELEMETRY_HTTP_H

#include "base/base.h"
#include "base/buf.h"
#include "conf/conf.h"

struct http;

/* What became of a document. */
enum http_end {
    HTTP_TAKEN = 0,
    HTTP_REFUSED,  /* by a status that stays */
    HTTP_GIVEN_UP, /* it could not be sent for too long */
    HTTP_END_COUNT
};
typedef void (*http_end_fn)(void *arg, unsigned channel, enum http_end end);

/*
 * channels: documents under way at a time, one each; path: of each, behind the collector's URL. Copies what
 * it needs of conf. NULL, and *why (static or libcurl's text): it cannot be had.
 */
struct http *http_new(const struct conf_telemetry *conf, const char *const *paths, unsigned channels,
                      http_end_fn on_end, void *arg, const char **why);
void http_free(struct http **http); /* what is under way is given up */

bool http_busy(const struct http *http, unsigned channel);
/* Takes the document over; the channel must not be busy. calls: in it, for messages. */
void http_send(struct http *http, unsigned channel, struct buf *document, unsigned calls);
/* Does what is to be done, and waits until something is, fd can be read, or the time is over. */
void http_turn(struct http *http, int fd, unsigned timeout_ms);

#endif
