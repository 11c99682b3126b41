/*
 * The chunked coding, strictly: a size is 1 to 16 hex digits, followed by CRLF or by ';' and
 * an extension without control bytes; data end with CRLF; trailers are header lines, and are
 * read and dropped. Extensions and trailers of a message are limited together. Works on any
 * slicing, keeps no bytes, allocates nothing.
 */
#ifndef NET_H1_CHUNK_H
#define NET_H1_CHUNK_H

#include "base/base.h"

struct h1_chunk {
    uint64_t left;       /* of the current chunk's data; the size while it is being read */
    uint64_t body_bytes; /* data bytes handed out so far */
    uint64_t body_max;   /* the sum of the sizes may not pass this */
    uint32_t extra_left; /* bytes that extensions and trailers may still use */
    uint8_t state;
    uint8_t digits;     /* of the size read so far */
    uint8_t name_len;   /* of a trailer's name, up to 255 */
    uint8_t name_kinds; /* which forbidden trailers the name can still become */
};

enum h1_chunk_got {
    H1_CHUNK_MORE = 0, /* all bytes used */
    H1_CHUNK_DATA,     /* *data is a piece of the body; call again with the rest */
    H1_CHUNK_END,      /* the message is over; the bytes after *used are not part of it */
    H1_CHUNK_BAD,      /* malformed at bytes[*used] */
    H1_CHUNK_EXTRA,    /* extensions and trailers are too long */
    H1_CHUNK_TOO_BIG,  /* the body would pass body_max: known from the size alone */
};

void h1_chunk_init(struct h1_chunk *chunk, uint64_t body_max, uint32_t extra_max);
/* data points into bytes. Not to be called again after END or a fault. */
enum h1_chunk_got h1_chunk_read(struct h1_chunk *chunk, const uint8_t *bytes, size_t len,
                                size_t *used, struct str *data);

#endif
