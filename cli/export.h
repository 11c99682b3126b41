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
#include "ledger/export_row.h"

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

enum cli_exit export_run(const struct cli_local *local);

/* turnpike log export: the same of log.list's entries. */
enum cli_exit export_log_run(const struct cli_local *local);

#endif
