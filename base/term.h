/*
 * What a terminal is asked before something is written to it: is it one, how large, may there be colours.
 * All of it is about standard output and standard error as they were at term_init(): what is written
 * may later take another way, through a pager say, and is still for that terminal.
 */
#ifndef BASE_TERM_H
#define BASE_TERM_H

#include <stdio.h>

#include "base/base.h"

enum term_paint {
    TERM_PLAIN = 0,
    TERM_HEAD, /* names of columns and fields */
    TERM_GOOD,
    TERM_WARN,
    TERM_BAD,
    TERM_PAINT_COUNT
};

/* Looks at both streams, and at the environment: NO_COLOR, TERM, COLUMNS, LINES. Once, at the start. */
void term_init(void);
/* "auto" (terminals alone, unless NO_COLOR is set), "always" or "never"; false: it is none of these. */
bool term_color(const char *when) MUST_CHECK;
bool term_is(FILE *stream);
/* Columns and rows; 80 and 24 where nobody knows. Asked anew each time. */
unsigned term_width(void);
unsigned term_height(void);
/* What to write before and after a piece of text; "" where the stream gets no colours. */
const char *term_on(FILE *stream, enum term_paint paint);
const char *term_off(FILE *stream, enum term_paint paint);

#endif
