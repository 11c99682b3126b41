/*
 * The walk over the text before libconfuse sees it. Inside of conf/ only.
 *
 * libconfuse decides what a value is (quoting, escapes, ${VARIABLES}, lists, +=), but it stops at
 * its first fault, forgets lines, counts comments' lines wrongly, takes a missing brace at the end
 * of a file for granted, swallows single characters that it does not know, and its own include()
 * keeps files open after a fault. So the text is walked here first, statement by statement, and
 * handed on only so far as it makes sense:
 *
 *  - comments are left out, words without quotes get them, lines stay where they were;
 *  - a name that no row knows is a fault, and its whole statement is left out;
 *  - a statement that is no statement is a fault, and is left out up to where it seems to end;
 *  - a section that is never closed is closed where the next one starts;
 *  - each section starts with a mark, "@" = 0, by which the reader sees it begin;
 *  - after each section the walk pauses, so that what libconfuse still refuses costs that section
 *    only; and after an include(), so that the other file can be taken first.
 *
 * So one run finds all faults of grammar and names. Nothing here recurses: unknown sections are
 * skipped by counting braces, known ones nest twice at most.
 */
#ifndef CONF_SCAN_H
#define CONF_SCAN_H

#include "base/base.h"
#include "base/buf.h"
#include "conf/load.h"

#define SCAN_MARK "@"
#define SCAN_INCLUDE "include"
#define SCAN_DEPTH_MAX 2

enum scan_kind {
    SCAN_END = 0,
    SCAN_WORD,   /* quoted or not */
    SCAN_PUNCT,  /* one of { } ( ) = , */
    SCAN_APPEND, /* += */
};

struct scan_token {
    enum scan_kind kind;
    char punct;
    bool quoted;
    bool broken;     /* a string with a fault, which was said: of no use */
    struct str text; /* as it stands, quotes included */
    uint32_t line;
};

/* A section that is open. */
struct scan_open {
    int kind; /* enum conf_section_kind */
    struct str title;
    uint32_t line;
};

struct scan {
    struct load *load;
    uint32_t file_idx;
    struct str text;
    size_t at;
    uint32_t line;
    struct scan_token token; /* looked at, not yet taken */
    struct scan_open open[SCAN_DEPTH_MAX];
    size_t depth;
    uint32_t chunk_line; /* of the first byte that scan_next() gave */
    uint32_t out_line;   /* of the end of that */
};

void scan_init(struct scan *scan, struct load *load, uint32_t file_idx, struct str text);

enum scan_pause {
    SCAN_DONE = 0, /* the text is at its end, nothing was given */
    SCAN_SECTION,  /* a top-level section was */
    SCAN_FILE,     /* an include() was: the file that it names comes before the rest of this one */
};

/*
 * Walks on and appends to the empty *out what libconfuse may see of the next top-level statement.
 * Its first line is scan->chunk_line.
 */
enum scan_pause scan_next(struct scan *scan, struct buf *out);

#endif
