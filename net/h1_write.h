/*
 * Writing heads: status or request line, headers, chunk heads, into a buffer of the caller's.
 *
 * The writer refuses what could be read as two messages (CR, LF, NUL and other control bytes
 * in a name or value, a target that is not origin-form) and what does not fit: from then on it
 * is failed and writes nothing, so the caller looks once, at h1_out_end(). Nothing allocates.
 */
#ifndef NET_H1_WRITE_H
#define NET_H1_WRITE_H

#include "base/base.h"
#include "net/h1_head.h"

struct h1_out {
    char *ptr;
    size_t cap;
    size_t len;
    bool failed;
};

void h1_out_init(struct h1_out *out, char *ptr, size_t cap);
/* "HTTP/1.1 200 OK". The version is always 1.1, as RFC 9112 has it also for clients of 1.0. */
void h1_out_status(struct h1_out *out, unsigned status);
/* "POST /v1/messages HTTP/1.1" and Host. prefix goes before path ("/openai"; may be empty or
 * STR_NONE); query without '?' (STR_NONE: none). */
struct h1_target {
    struct str prefix, path, query;
};
void
h1_out_request(struct h1_out *out, struct str method, struct h1_target target, struct str host);
/*
 * A header whose line begins with a literal, which is not looked at again: the name, ": ", and
 * perhaps a part of the value.
 *
 *     h1_out_own(out, "authorization: Bearer ", key);
 */
#define h1_out_own(out, literal, ...) h1_out_begun((out), STR("" literal), __VA_ARGS__)
#define h1_out_own_u64(out, literal, value) h1_out_u64((out), STR("" literal), (value))
void h1_out_begun(struct h1_out *out, struct str begin, struct str value);
void h1_out_u64(struct h1_out *out, struct str begin, uint64_t value);
/* Header i of a head that the lint let through, and so not looked at again, under its own name or
 * one that is a literal. */
void h1_out_copy(struct h1_out *out, struct str name, const struct h1_head *head, size_t i);
void h1_out_length(struct h1_out *out, uint64_t content_length);
void h1_out_chunked(struct h1_out *out);
/* "connection: close", or "keep-alive" for a client of HTTP/1.0 (minor 0), or nothing. */
void h1_out_connection(struct h1_out *out, bool keep_alive, unsigned minor);
/* Header lines that were written before by this writer, each with its CRLF: taken as they are. */
void h1_out_lines(struct h1_out *out, struct str lines);
/* The empty line. False when anything above was refused or did not fit. */
bool h1_out_end(struct h1_out *out) MUST_CHECK;

/* The Date header's text, made anew once a second. One a thread; starts zeroed. */
struct h1_date {
    int64_t wall_s;
    char line[37]; /* "date: …" and CRLF */
};
struct str h1_date_text(struct h1_date *date, int64_t wall_us);
void h1_out_date(struct h1_out *out, struct h1_date *date, int64_t wall_us);

/* "1f4\r\n" without a NUL; returns its length. The data and H1_CHUNK_CRLF follow. len is not 0. */
#define H1_CHUNK_HEAD_MAX 18
size_t h1_chunk_head(size_t len, char out[H1_CHUNK_HEAD_MAX]);
#define H1_CHUNK_CRLF STR("\r\n")
#define H1_CHUNK_LAST STR("0\r\n\r\n")
#define H1_CONTINUE STR("HTTP/1.1 100 Continue\r\n\r\n")

/* "Not Found"; "Unknown" for a status without a name. */
struct str h1_status_text(unsigned status);

#endif
