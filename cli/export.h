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

/* Appends the first line, which CSV has; and a row of call.list's answer. */
void export_head(enum export_format format, struct buf *out);
void export_row(enum export_format format, struct js_value row, struct buf *out);

enum cli_exit export_run(const struct cli_local *local);

#endif
