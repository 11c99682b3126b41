/*
 * JSON writer: appends to a struct buf, puts the commas, escapes the strings. Compact, no white
 * space. Nesting up to 32; misuse (a value without its key, a wrong end) is an ASSERT.
 */
#ifndef BASE_JW_H
#define BASE_JW_H

#include "base/base.h"
#include "base/buf.h"
#include "base/js.h"

struct jw {
    struct buf *buf;
    uint32_t has_members; /* bit d: the container at depth d already has one */
    uint32_t is_object;   /* bit d: the container at depth d is an object */
    uint8_t depth;
    bool after_key;
};

void jw_init(struct jw *jw, struct buf *buf);
void jw_object(struct jw *jw);
void jw_object_end(struct jw *jw);
void jw_array(struct jw *jw);
void jw_array_end(struct jw *jw);
/* name: printable ASCII without quotes and backslashes, as the names in our own code are. */
void jw_key(struct jw *jw, const char *name);
/* The same for a name that comes from elsewhere: escaped where it has to be. */
void jw_key_of(struct jw *jw, struct str name);
/* Bytes that are not UTF-8 become U+FFFD. */
void jw_str(struct jw *jw, struct str s);
void jw_cstr(struct jw *jw, const char *c_string); /* NULL writes null */
void jw_u64(struct jw *jw, uint64_t n);
void jw_i64(struct jw *jw, int64_t n);
void jw_bool(struct jw *jw, bool b);
void jw_null(struct jw *jw);
void jw_ucr(struct jw *jw, int64_t ucr);        /* as a string of credits: "12.5" */
void jw_time(struct jw *jw, int64_t wall_us);   /* as an RFC 3339 string; 0 writes null */
void jw_raw(struct jw *jw, struct str json);    /* a value already in JSON */
void jw_js(struct jw *jw, struct js_value value); /* likewise; a string with its quotes. NONE: null */
/* A string whose bytes between the quotes are JSON already: nothing is escaped. */
void jw_quoted(struct jw *jw, struct str inner);

/* Key and value in one. */
void jw_key_str(struct jw *jw, const char *name, struct str s);
void jw_key_js(struct jw *jw, const char *name, struct js_value value);
void jw_key_quoted(struct jw *jw, const char *name, struct str inner);
void jw_key_cstr(struct jw *jw, const char *name, const char *c_string);
void jw_key_u64(struct jw *jw, const char *name, uint64_t n);
void jw_key_i64(struct jw *jw, const char *name, int64_t n);
void jw_key_bool(struct jw *jw, const char *name, bool b);
void jw_key_ucr(struct jw *jw, const char *name, int64_t ucr);
void jw_key_time(struct jw *jw, const char *name, int64_t wall_us);

#endif
