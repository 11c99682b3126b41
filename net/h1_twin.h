/*
 * The second opinion: llhttp in its strictest mode reads what our own reader has let through,
 * and must have seen the same message. A smuggled request lives from two parsers that differ;
 * here they are asked before anything is believed.
 */
#ifndef NET_H1_TWIN_H
#define NET_H1_TWIN_H

#include "net/h1_head.h"

#include <llhttp.h>

struct h1_twin {
    llhttp_t parser;
    /* What llhttp has seen of this message. */
    uint64_t body_bytes;
    uint64_t content_length;
    uint16_t flags;
    uint16_t header_count; /* of the head; trailers do not count */
    bool keep_alive;
    bool head_done;
    bool message_done;
};

/* Parses a whole head that the lint has accepted. True when llhttp agrees with it. Clears
 * head->keep_alive when llhttp would not keep the connection. */
bool MUST_CHECK h1_twin_head(struct h1_twin *twin, struct h1_head *head);
/*
 * Reads on in a chunked body. True when llhttp took all the bytes without complaint and now
 * agrees that body_bytes in all have been seen and that the message is over (or is not).
 */
bool MUST_CHECK h1_twin_body(struct h1_twin *twin, const uint8_t *bytes, size_t len,
                             uint64_t body_bytes, bool over);
/* As above for bytes before a fault of our own finding: true when llhttp minds none of them. */
bool MUST_CHECK h1_twin_accepts(struct h1_twin *twin, const uint8_t *bytes, size_t len);

#endif
