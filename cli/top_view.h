/*
 * What `turnpike top` shows of one or two answers, as lines of text. With two of them rates are what came
 * between; with one, those of the last minute. No terminal here.
 */
#ifndef CLI_TOP_VIEW_H
#define CLI_TOP_VIEW_H

#include "base/buf.h"
#include "base/js.h"

enum top_sort { TOP_CALLS = 0, TOP_TOKENS, TOP_SPEND, TOP_ERRORS, TOP_NAME, TOP_SORT_COUNT };
extern const char *const top_sort_name[TOP_SORT_COUNT]; /* "calls", … */

struct top_view {
    struct js_value now, before; /* before: of type JS_NONE when there is none */
    uint64_t between_us;         /* from before to now */
    enum top_sort sort;
    unsigned width, height; /* columns; rows, 0: as many as there are */
    const char *foot;       /* a last line, or NULL */
};

/* Each line ends with a newline and is no longer than width. */
void top_view_write(const struct top_view *view, struct buf *out);

#endif
