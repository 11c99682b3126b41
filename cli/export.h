/*
 * turnpike export: records of calls as lines of CSV or JSON, page by page, so that it takes no more memory for
 * a year than for a day. A row is a record: a call whose hold was extended has one for each of its holds, and
 * the charges of all rows add up to what was charged.
 */
#ifndef CLI_EXPORT_H
#define CLI_EXPORT_H

#include "base/buf.h"
#include "base/js.h"
#include "cli/table.h"

enum export_format { EXPORT_CSV = 0, EXPORT_JSONL, EXPORT_FORMAT_COUNT };

/* What is exported: the pages of one command's answers, the oldest first. */
struct export_set {
    const char *noun;       /* "export": of complaints */
    const char *cmd, *rows; /* "call.list", and where the rows are in its answer */
    const char *place;      /* the argument that names where a page begins */
    const char *const *args; /* options that are handed on as they are, ended by NULL */
    const char *one, *many; /* "record", "records": of the summary */
    bool since_must;        /* without --since it is no question */
    bool charges;           /* rows have a charge, to be summed up */
    void (*head)(enum export_format format, struct buf *out);
    void (*row)(enum export_format format, struct js_value row, struct buf *out);
};
enum cli_exit export_set_run(const struct cli_local *local, const struct export_set *set);

/* A field of CSV: quoted where it must be, and no formula to any spreadsheet. */
void export_csv_text(struct buf *out, struct str text);

/* Appends the first line, which CSV has; and a row of call.list's answer. */
void export_head(enum export_format format, struct buf *out);
void export_row(enum export_format format, struct js_value row, struct buf *out);

enum cli_exit export_run(const struct cli_local *local);

/* turnpike log export: the same of log.list's entries. */
void export_log_head(enum export_format format, struct buf *out);
void export_log_row(enum export_format format, struct js_value entry, struct buf *out);
enum cli_exit export_log_run(const struct cli_local *local);

#endif
